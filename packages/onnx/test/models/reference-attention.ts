import { type Graph, readNumbers, type Tensor } from "@dgate/onnx";
import type { AttentionBlock } from "./attention-block.ts";
import type { Projection } from "./transformer-model.ts";

/** Rows of float64 numbers. */
type Matrix = readonly Float64Array[];

/** A projection of one head: `weights[i][j]` from input `i` to feature `j`, and its bias. */
interface HeadProjection {
  readonly weights: Matrix;
  readonly bias: Float64Array;
}

function numbersNamed(graph: Graph, name: string): { values: ArrayLike<number>; shape: readonly number[] } {
  const data = graph.value(name)?.data;
  if (!data) throw new Error(`the graph has no initializer "${name}"`);
  return { values: readNumbers(data), shape: data.shape };
}

/** Where feature `j` of head `h` lies on the head axis. */
const place = ({ start, headStride }: Projection, head: number, j: number): number =>
  start + head * headStride + j;

function inputProjection(
  graph: Graph,
  projection: Projection,
  head: number,
  headDim: number,
): HeadProjection {
  const { values, shape } = numbersNamed(graph, projection.weight);
  const count = shape.reduce((a, b) => a * b, 1);
  const transposed = projection.axis === 0;
  const inputs = transposed ? shape.slice(1).reduce((a, b) => a * b, 1) : shape[0]!;
  const outputs = count / inputs;
  const at = (i: number, column: number): number =>
    values[transposed ? column * inputs + i : i * outputs + column]!;
  const columns = Array.from({ length: headDim }, (_, j) => place(projection, head, j));
  const bias = projection.bias === undefined ? undefined : numbersNamed(graph, projection.bias).values;
  return {
    weights: Array.from({ length: inputs }, (_, i) => Float64Array.from(columns, (column) => at(i, column))),
    bias: Float64Array.from(columns, (column) => bias?.[column] ?? 0),
  };
}

const apply = (rows: Matrix, { weights, bias }: HeadProjection): Float64Array[] =>
  rows.map((row) =>
    bias.map((start, j) => row.reduce((sum, value, i) => sum + value * weights[i]![j]!, start)),
  );

const dot = (a: Float64Array, b: Float64Array): number => a.reduce((sum, value, i) => sum + value * b[i]!, 0);

function softmax(scores: Float64Array): Float64Array {
  const top = Math.max(...scores);
  const exponentials = scores.map((score) => Math.exp(score - top));
  const sum = exponentials.reduce((a, b) => a + b, 0);
  return exponentials.map((value) => value / sum);
}

/**
 * The output of a single attention layer by the textbook in float64: `softmax(scale·q·kᵀ, over the visible keys)·v` per head, with
 * the weights of the graph found by the block's expectation, then the output projection. Nothing of the graph is run.
 */
export function referenceAttention(
  { graph, attention: [layer], math }: AttentionBlock,
  feeds: Readonly<Record<string, Tensor>>,
): Float64Array {
  const { heads, kvHeads, headDim, scale, output } = layer!;
  const values = readNumbers(feeds["hidden_states"]!);
  const [batch, length, width] = feeds["hidden_states"]!.shape as [number, number, number];
  const mask = feeds["attention_mask"] && readNumbers(feeds["attention_mask"]);
  const result = new Float64Array(batch * length * width);
  const out = numbersNamed(graph, output.weight).values;
  const outBias = output.bias === undefined ? undefined : numbersNamed(graph, output.bias).values;
  for (let b = 0; b < batch; b++) {
    const rows = Array.from({ length }, (_, t) =>
      Float64Array.from({ length: width }, (__, i) => values[(b * length + t) * width + i]!),
    );
    const visible = (query: number, key: number): boolean =>
      (!mask || mask[b * length + key] === 1) && (!math.mask?.startsWith("causal") || key <= query);
    for (let head = 0; head < heads; head++) {
      const shared = Math.floor((head * kvHeads) / heads);
      const q = apply(rows, inputProjection(graph, layer!.query, head, headDim));
      const k = apply(rows, inputProjection(graph, layer!.key, shared, headDim));
      const v = apply(rows, inputProjection(graph, layer!.value, shared, headDim));
      q.forEach((query, t) => {
        const scores = Float64Array.from(k, (key, s) =>
          visible(t, s) ? scale * dot(query, key) : -Infinity,
        );
        const weights = softmax(scores);
        for (let j = 0; j < headDim; j++) {
          const context = v.reduce((sum, value, s) => sum + weights[s]! * value[j]!, 0);
          const row = place(output, head, j) * width;
          for (let i = 0; i < width; i++) result[(b * length + t) * width + i]! += context * out[row + i]!;
        }
      });
    }
    if (outBias) {
      for (let t = 0; t < length; t++)
        for (let i = 0; i < width; i++) result[(b * length + t) * width + i]! += outBias[i]!;
    }
  }
  return result;
}
