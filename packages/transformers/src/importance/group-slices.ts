import { DgateError } from "@dgate/core";
import {
  type CoupledSlice,
  type Graph,
  inlineFunctions,
  normalise,
  readNumbers,
  type Tensor,
} from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";

/** Indices of a slice's axis that belong to a group. */
export function indicesOf(places: CoupledSlice["places"], group: number): number[] {
  return places.flatMap(({ offset, stride, loops }) =>
    loops.reduce(
      (starts, { count, stride: step }) =>
        starts.flatMap((start) => Array.from({ length: count }, (_, k) => start + k * step)),
      [offset + group * stride],
    ),
  );
}

/** The weights that read what a block's groups give, each once: rows of the output projection, or of the second feed-forward weight. */
export function readersOf({ site }: GatedBlock): CoupledSlice[] {
  const consumers = site.coupled.filter(({ role }) => role === "consumer");
  return consumers.filter(
    ({ tensor, axis }, at) =>
      consumers.findIndex((other) => other.tensor === tensor && other.axis === axis) === at,
  );
}

/**
 * A copy of a graph in the form that sites speak of.
 *
 * @returns beside it the graph with the same values that a runtime takes
 */
export function siteForm(graph: Graph): { readonly normal: Graph; readonly runnable: Graph } {
  return { normal: normalise(graph), runnable: inlineFunctions(graph) };
}

/**
 * The constant that a site speaks of.
 * @throws DgateError `GROUP` if the graph has no such constant
 */
export function weightOf(graph: Graph, tensor: string): Tensor {
  const data = graph.value(tensor)?.data;
  if (data) return data;
  throw new DgateError("GROUP", `importance: the model has no constant "${tensor}"; was it changed since?`);
}

/** Σ f(w) of each index of an axis, in float64. */
export function sumsAlong(tensor: Tensor, axis: number, f: (weight: number) => number): Float64Array {
  const { shape } = tensor;
  const size = shape[axis]!;
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const numbers = readNumbers(tensor);
  const sums = new Float64Array(size);
  for (let start = 0; start < numbers.length; start += size * inner) {
    for (let i = 0; i < size; i++) {
      const from = start + i * inner;
      for (let k = from; k < from + inner; k++) sums[i]! += f(Number(numbers[k]));
    }
  }
  return sums;
}
