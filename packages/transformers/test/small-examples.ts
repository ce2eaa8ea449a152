import { type Graph, readNumbers, type Tensor, tensorOf } from "@dgate/onnx";
import { feedsOf, type TransformerModel } from "../../onnx/test/models/transformer-model.ts";
import type { EncodedExample } from "../src/data/encode.ts";
import type { TaskKind } from "../src/source/task.ts";

/** What small models are opened for. */
export const kinds = {
  classes: { task: "text-classification", input: "text", output: "classes" },
  images: { task: "image-classification", input: "image", output: "classes" },
  hidden: { task: "feature-extraction", input: "text", output: "hidden" },
  language: { task: "text-generation", input: "text", output: "language" },
} as const satisfies Record<string, TaskKind>;

/** Examples of a small model, of different lengths where it takes tokens, with labels 0, 1, 2, 0 …. */
export function smallExamples(
  model: TransformerModel,
  count: number,
  lengths: readonly number[] = [5, 3, 6],
): EncodedExample[] {
  return Array.from({ length: count }, (_, index) => {
    const length = lengths[index % lengths.length]!;
    const dims = Object.keys(model.dims).map((name) => {
      const size = /batch/.test(name)
        ? 1
        : /past/.test(name)
          ? 0
          : /seq/.test(name)
            ? length
            : model.dims[name]!;
      return [name, size] as const;
    });
    const feeds = feedsOf(model, index + 1, Object.fromEntries(dims));
    const tokens = Object.entries(feeds).filter(([, { dtype }]) => dtype === "int64" || dtype === "int32");
    const features = Object.entries(feeds)
      .filter(([, { dtype }]) => dtype === "float32")
      .filter(([name]) => !name.startsWith("past"));
    return {
      index,
      tokens: Object.fromEntries(
        tokens.map(([name, tensor]) => [name, Array.from(readNumbers(tensor), Number)]),
      ),
      features: Object.fromEntries(
        features.map(([name, tensor]) => {
          return [
            name,
            { data: Float32Array.from(readNumbers(tensor), Number), shape: tensor.shape.slice(1) },
          ];
        }),
      ),
      label: index % 3,
    };
  });
}

/** A copy of a graph with other numbers in a constant. */
export function withNumbers(
  graph: Graph,
  name: string,
  change: (numbers: Float64Array) => Float64Array,
): Graph {
  const copy = graph.clone();
  const value = copy.value(name)!;
  const { dtype, shape } = value.data!;
  copy.setData(value, tensorOf(dtype, shape, change(Float64Array.from(readNumbers(value.data!), Number))));
  return copy;
}

/** A constant without some indices of an axis, of a matrix or vector. */
export function withoutIndices(tensor: Tensor, axis: number, first: number, count: number): Tensor {
  const { dtype, shape } = tensor;
  const inner = axis === 0 ? (shape[1] ?? 1) : 1;
  const numbers = Array.from(readNumbers(tensor), Number).filter((_, i) => {
    const at = Math.floor(i / inner) % shape[axis]!;
    return at < first || at >= first + count;
  });
  const left = shape.map((size, at) => (at === axis ? size - count : size));
  return tensorOf(dtype, left, numbers);
}

/** Largest |score / expected − 1|; NaN if their numbers differ. */
export const relativeGap = (scores: ArrayLike<number>, expected: ArrayLike<number>): number =>
  scores.length === expected.length
    ? Math.max(...Array.from(expected, (value, i) => Math.abs(scores[i]! / value - 1)))
    : Number.NaN;
