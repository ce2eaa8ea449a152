import { type Graph, readNumbers, type Tensor } from "@dgate/onnx";
import type { AttentionBlock, AttentionMath } from "./attention-block.ts";
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

/** Turns the pairs of each row by its position times base^(−2j/d). */
function rotated(
  rows: Matrix,
  { interleaved, base }: NonNullable<AttentionMath["rotary"]>,
  positions: (row: number) => number,
): Float64Array[] {
  return rows.map((row, t) => {
    const size = row.length;
    const turned = Float64Array.from(row);
    for (let j = 0; j < size / 2; j++) {
      const [a, b] = interleaved ? [2 * j, 2 * j + 1] : [j, j + size / 2];
      const angle = positions(t) * base ** ((-2 * j) / size);
      turned[a] = row[a]! * Math.cos(angle) - row[b]! * Math.sin(angle);
      turned[b] = row[b]! * Math.cos(angle) + row[a]! * Math.sin(angle);
    }
    return turned;
  });
}

/** RMS normalisation of each row by the weights of a head. */
function normalized(rows: Matrix, weights: ArrayLike<number>, head: number, epsilon: number): Float64Array[] {
  return rows.map((row) => {
    const start = weights.length > row.length ? head * row.length : 0;
    const root = Math.sqrt(dot(row, row) / row.length + epsilon);
    return row.map((value, j) => (weights[start + j]! * value) / root);
  });
}

/** Queries, keys and values of one head in one row of the batch, rotated and normalised; the past is in front of keys and values. */
function headInputs(
  { graph, attention: [layer], math }: AttentionBlock,
  rows: Matrix,
  head: number,
  { row, past }: { readonly row: number; readonly past: Past },
): { q: Matrix; k: Matrix; v: Matrix } {
  const { heads, kvHeads, headDim } = layer!;
  const shared = Math.floor((head * kvHeads) / heads);
  const prepare = (projection: Projection, index: number, norm?: string): Matrix => {
    const plain = apply(rows, inputProjection(graph, projection, index, headDim));
    if (norm === undefined) return plain;
    const normed = math.normalized
      ? normalized(plain, numbersNamed(graph, norm).values, index, math.normalized.epsilon)
      : plain;
    return math.rotary ? rotated(normed, math.rotary, (t) => t + past.length) : normed;
  };
  return {
    q: prepare(layer!.query, head, math.normalized?.query ?? ""),
    k: [...past.rows("key", row, shared), ...prepare(layer!.key!, shared, math.normalized?.key ?? "")],
    v: [...past.rows("value", row, shared), ...prepare(layer!.value!, shared)],
  };
}

/** Keys and values that were fed; none without a cache. */
interface Past {
  readonly length: number;
  readonly rows: (part: "key" | "value", row: number, head: number) => Matrix;
}

function pastOf(feeds: Readonly<Record<string, Tensor>>, used: boolean): Past {
  const fed = used ? feeds["past_key_values.0.key"] : undefined;
  if (!fed) return { length: 0, rows: () => [] };
  const [, heads, length, headDim] = fed.shape as [number, number, number, number];
  const rows: Past["rows"] = (part, row, head) => {
    const values = readNumbers(feeds[`past_key_values.0.${part}`]!);
    const start = (row * heads + head) * length;
    return Array.from({ length }, (_, s) =>
      Float64Array.from({ length: headDim }, (__, j) => values[(start + s) * headDim + j]!),
    );
  };
  return { length, rows };
}

/**
 * The output of a single attention layer by the textbook in float64: `softmax(scale·q·kᵀ + bias, over the visible keys)·v` per head,
 * with the weights of the graph found by the block's expectation, then the output projection. Nothing of the graph is run.
 */
export function referenceAttention(
  block: AttentionBlock,
  feeds: Readonly<Record<string, Tensor>>,
): Float64Array {
  const { graph, attention, math } = block;
  const { heads, headDim, scale, output } = attention[0]!;
  const values = readNumbers(feeds["hidden_states"]!);
  const [batch, length, width] = feeds["hidden_states"]!.shape as [number, number, number];
  const flag = feeds["use_cache_branch"];
  const past = pastOf(feeds, math.past === true && (!flag || readNumbers(flag)[0] === 1));
  const mask = feeds["attention_mask"] && readNumbers(feeds["attention_mask"]);
  const extra = math.bias?.((name) => numbersNamed(graph, name).values, length);
  const out = numbersNamed(graph, output.weight).values;
  const outBias = output.bias === undefined ? undefined : numbersNamed(graph, output.bias).values;
  const result = new Float64Array(batch * length * width).map((_, i) => outBias?.[i % width] ?? 0);
  for (let b = 0; b < batch; b++) {
    const rows = Array.from({ length }, (_, t) =>
      Float64Array.from({ length: width }, (__, i) => values[(b * length + t) * width + i]!),
    );
    const keys = length + past.length;
    const visible = (query: number, key: number): boolean =>
      (!mask || mask[b * keys + key] === 1) &&
      (!math.mask?.startsWith("causal") || key <= query + past.length);
    for (let head = 0; head < heads; head++) {
      const { q, k, v } = headInputs(block, rows, head, { row: b, past });
      q.forEach((query, t) => {
        const scores = Float64Array.from(k, (key, s) =>
          visible(t, s) ? scale * dot(query, key) + (extra?.(head, t, s, b) ?? 0) : -Infinity,
        );
        const weights = softmax(scores);
        for (let j = 0; j < headDim; j++) {
          const context = v.reduce((sum, value, s) => sum + weights[s]! * value[j]!, 0);
          const row = place(output, head, j) * width;
          for (let i = 0; i < width; i++) result[(b * length + t) * width + i]! += context * out[row + i]!;
        }
      });
    }
  }
  return result;
}
