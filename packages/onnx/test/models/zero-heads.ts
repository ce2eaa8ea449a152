import { type Graph, readNumbers, tensorOf } from "@dgate/onnx";
import type { AttentionExpectation, Projection, TransformerModel } from "./transformer-model.ts";

function zeroSlices(graph: Graph, name: string, axis: number, indices: readonly number[]): void {
  const value = graph.value(name);
  if (!value?.data) throw new Error(`the graph has no initializer "${name}"`);
  const { shape } = value.data;
  const numbers = Float64Array.from(readNumbers(value.data));
  // A projection's head axis may be several axes (heads, headDim) from `axis` on; they count as one.
  const size = numbers.length;
  const front = axis === 0 ? 1 : shape.slice(0, axis).reduce((a, b) => a * b, 1);
  const inner = axis === 0 ? shape.at(-1)! : 1;
  const length = size / front / inner;
  for (const index of indices) {
    if (index >= length) throw new Error(`"${name}" has ${length} slices, no slice ${index}`);
    for (let f = 0; f < front; f++)
      numbers.fill(0, (f * length + index) * inner, (f * length + index + 1) * inner);
  }
  graph.setData(value, tensorOf("float32", shape, numbers));
}

function placesOf({ start, headStride }: Projection, head: number, headDim: number): number[] {
  return Array.from({ length: headDim }, (_, j) => start + head * headStride + j);
}

/** Which part of a head to zero: its projection of one kind with the bias, or the rows of the output projection that read it. */
export type HeadPart = "query" | "key" | "value" | "output";

/** A copy of the model's graph in which one part of some heads of a layer is zero. */
export function withZeroHeads(
  { graph }: TransformerModel,
  layer: AttentionExpectation,
  part: HeadPart,
  heads: readonly number[],
): Graph {
  const copy = graph.clone();
  const projection = layer[part];
  if (!projection) throw new Error(`the layer "${layer.name}" has no ${part} projection`);
  for (const head of heads) {
    const places = placesOf(projection, head, layer.headDim);
    zeroSlices(copy, projection.weight, projection.axis, places);
    if (part !== "output" && projection.bias !== undefined) zeroBias(copy, projection.bias, places);
  }
  return copy;
}

function zeroBias(graph: Graph, name: string, places: readonly number[]): void {
  const value = graph.value(name)!;
  const numbers = Float64Array.from(readNumbers(value.data!));
  for (const place of places) numbers[place] = 0;
  graph.setData(value, tensorOf("float32", value.data!.shape, numbers));
}
