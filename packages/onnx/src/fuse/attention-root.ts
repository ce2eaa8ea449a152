import type { Value } from "../graph/graph.ts";
import { isLayout, type Layout } from "./axis-layout.ts";
import type { NodeEmitter } from "./node-emitter.ts";
import type { UnfusedAttention } from "./unfused-attention.ts";

/** A result of the un-fused nodes that a fused one takes the place of. */
export interface AttentionRoot {
  readonly value: Value;
  /** Makes it of `[batch, queries, heads · value dim]`. */
  readonly make: (emit: NodeEmitter, stem: string, output: Value) => Value;
}

/** The values that are known arrangements of the result, merged ones first. */
export function rootsOf({
  atoms,
  axes,
  heads,
  valueDim,
  results,
}: UnfusedAttention): readonly AttentionRoot[] {
  const { batch, queries, heads: own, valueDim: dim } = axes;
  const last = [...own, ...dim];
  const width = heads * valueDim;
  const forms: readonly (readonly [Layout, AttentionRoot["make"]])[] = [
    [[batch, queries, last], (_emit, _stem, output) => output],
    [[[...batch, ...queries], last], (emit, stem, output) => emit.reshape(stem, output, [-1, width])],
    [[queries, batch, last], (emit, stem, output) => emit.transpose(stem, output, [1, 0, 2])],
    [
      [[...queries, ...batch], last],
      (emit, stem, output) => emit.reshape(stem, emit.transpose(stem, output, [1, 0, 2]), [-1, width]),
    ],
    [[batch, queries, own, dim], (emit, stem, output) => emit.reshape(stem, output, [0, 0, heads, valueDim])],
    [
      [batch, own, queries, dim],
      (emit, stem, output) =>
        emit.transpose(stem, emit.reshape(stem, output, [0, 0, heads, valueDim]), [0, 2, 1, 3]),
    ],
  ];
  return forms.flatMap(([layout, make]) => {
    const found = results.findLast((each) => isLayout(atoms.resolve(each.layout), layout));
    return found ? [{ value: found.value, make }] : [];
  });
}
