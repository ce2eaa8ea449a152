import { DgateError } from "@dgate/core";
import { type Graph, readNumbers, transposeTensor } from "@dgate/onnx";
import type { WeightBinding } from "../export/bindings.ts";
import { closeAxis } from "../export/emitter.ts";

/** A weight of a smaller layer, in tfjs's order of axes. */
export interface SmallWeight {
  readonly shape: readonly number[];
  readonly values: Float32Array;
  /** The original layer has no such weight; here it is because something was folded into it. */
  readonly made: boolean;
}

/** Weights by layer path, then by property name (`kernel`, `bias`, …). A layer whose weights are gone is missing. */
export type SmallWeights = ReadonlyMap<string, ReadonlyMap<string, SmallWeight>>;

/** Values that a weight has when the exporter makes it up; with them it is left out again. */
const neutral: Readonly<Record<string, number>> = { bias: 0, beta: 0, gamma: 1 };

/** Reads the weights of a pruned graph back through the bindings of the graph it was pruned from. */
export function readBack(pruned: Graph, bindings: readonly WeightBinding[]): SmallWeights {
  const layers = new Map<string, Map<string, SmallWeight>>();
  for (const binding of bindings) {
    const data = pruned.value(binding.initializer)?.data;
    if (!data) continue;
    const { layer, weight, permutation, reshape, made } = binding;
    const count = data.shape.reduce((a, b) => a * b, 1);
    const permuted = reshape ? closeAxis(reshape.permuted, count) : data.shape;
    if (permuted.some((size) => !Number.isInteger(size)) || permuted.length !== permutation.length) {
      throw new DgateError(
        "SHAPE",
        `shrink: "${binding.initializer}" has shape [${data.shape.join(", ")}] after pruning, ` +
          `which no ${weight} of layer "${layer}" can have.`,
      );
    }
    const inverse = permutation.map((_, axis) => permutation.indexOf(axis));
    const tensor = transposeTensor({ ...data, shape: permuted }, inverse);
    const values = Float32Array.from(readNumbers(tensor));
    if (made && values.every((value) => value === neutral[weight])) continue;
    const named = layers.get(layer) ?? new Map<string, SmallWeight>();
    layers.set(layer, named.set(weight, { shape: tensor.shape, values, made }));
  }
  return layers;
}
