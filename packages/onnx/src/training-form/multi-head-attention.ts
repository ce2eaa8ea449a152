import type { DiffOps } from "../operators/diff-ops.ts";
import { int } from "../graph/attribute.ts";
import type { Node } from "../graph/types.ts";
import { floatAttribute, intAttribute } from "../ops/attributes.ts";
import { attend, grow, joinHeads, splitHeads } from "./attention-core.ts";
import type { Decomposition } from "./decomposition.ts";
import { maskBias } from "./packed-attention.ts";
import { knownSize, refuse } from "./refuse.ts";

/**
 * com.microsoft.MultiHeadAttention: Q `[batch, queries, heads · dim]` with K and V alike, or as caches `[batch, heads, keys, dim]`, or packed
 * as `[batch, keys, heads, 2, dim]`; or all packed as `[batch, queries, heads, 3, dim]`.
 */
export const multiHeadAttention: Decomposition = (ops, { node, inputs }) => {
  const [, , , bias, mask, scoreBias, pastK, pastV, pastLength, indirection] = inputs;
  if (pastLength !== undefined || indirection !== undefined) refuse(node, "its caches share one buffer");
  const heads = intAttribute(node, "num_heads", 0);
  const [q, freshK, freshV] = withBiases(ops, apart(ops, node, inputs, heads), bias);
  const [k, v] = [grow(ops, pastK, freshK), grow(ops, pastV, freshV)];
  const dim = knownSize(node, ops.shape(q)?.[3], "width of a head");
  const scale = floatAttribute(node, "scale", 0) || 1 / Math.sqrt(dim);
  const biases = [maskBias(ops, { node, q, k, fresh: freshK, past: pastK, mask }), scoreBias];
  const { context, scores } = attend(ops, { q, k, v, scale, biases });
  return [joinHeads(ops, context), k, v, scores];
};

/** Q, K and V as `[batch, heads, positions, dim]`; `isCached` for K and V that came so, without biases of the operator. */
interface Apart<T> {
  readonly parts: readonly [T, T, T];
  readonly isCached: boolean;
}

function apart<T>(
  ops: DiffOps<T>,
  node: Node,
  [query, key, value]: readonly (T | undefined)[],
  heads: number,
): Apart<T> {
  if (query === undefined) return refuse(node, "it has no query");
  const ranks = [query, key, value].map((x) => (x === undefined ? 0 : ops.rank(x)));
  if (ranks[0] === 5) return { parts: unpack(ops, query, 3) as [T, T, T], isCached: false }; // three parts
  const q = splitHeads(ops, query, heads);
  if (ranks[0] !== 3 || key === undefined) return refuse(node, "its inputs have a layout that is not known");
  if (ranks[1] === 5) return { parts: [q, ...(unpack(ops, key, 2) as [T, T])], isCached: false }; // two parts
  if (value !== undefined && ranks[1] === 4 && ranks[2] === 4)
    return { parts: [q, key, value], isCached: true };
  if (value === undefined || ranks[1] !== 3 || ranks[2] !== 3)
    return refuse(node, "its inputs have a layout that is not known");
  return { parts: [q, splitHeads(ops, key, heads), splitHeads(ops, value, heads)], isCached: false };
}

/** `[batch, positions, heads, count, dim]` as `count` tensors `[batch, heads, positions, dim]`. */
function unpack<T>(ops: DiffOps<T>, x: T, count: number): readonly T[] {
  const sizes = ops.int64(Array.from({ length: count }, () => 1));
  const parts = ops.apply("Split", [x, sizes], { axis: int(3) }, count);
  return parts.map((part) => ops.transpose(ops.squeeze(part, [3]), [0, 2, 1, 3]));
}

/** The operator's biases `[heads · dim + heads · dim + heads · value dim]` on Q, K and V. */
function withBiases<T>(
  ops: DiffOps<T>,
  { parts, isCached }: Apart<T>,
  bias: T | undefined,
): readonly [T, T, T] {
  if (bias === undefined) return parts;
  const shapes = parts.map((part) => ops.shape(part)!);
  const widths = shapes.map((shape) => Number(shape[1]) * Number(shape[3]));
  const add = (x: T, i: number): T => {
    const from = widths.slice(0, i).reduce((a, b) => a + b, 0);
    const own = ops.slice(bias, 0, from, from + widths[i]!);
    return ops.add(x, ops.reshape(own, [Number(shapes[i]![1]), 1, Number(shapes[i]![3])]));
  };
  const [q, k, v] = parts;
  return isCached ? [add(q, 0), k, v] : [add(q, 0), add(k, 1), add(v, 2)];
}
