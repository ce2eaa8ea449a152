import type { Value } from "@dgate/onnx";
import type { Exporter } from "./exporter.ts";
import type { Linear } from "./graph-writer.ts";
import type { AttentionExpectation, Projection } from "./transformer-model.ts";

/** The sizes of an attention layer. */
export interface AttentionShape {
  /** Features of the layer's input and output. */
  readonly width: number;
  readonly heads: number;
  readonly headDim: number;
  /** Key and value heads, as many as heads if left out. */
  readonly kvHeads?: number;
  /** Whether the projections have biases (default: as the pattern's models have them). */
  readonly bias?: boolean;
}

/** An attention layer that was written: its output `[batch, sequence, width]` and what is true of it. */
export interface Attended {
  readonly y: Value;
  readonly attention: AttentionExpectation;
}

/** `[batch, sequence, heads·headDim]` → `[batch, sequence, heads, headDim]`, transposed by `perm`. */
export function splitHeads(
  ex: Exporter,
  x: Value,
  heads: number,
  headDim: number,
  perm: readonly number[] = [0, 2, 1, 3],
): Value {
  return ex.transpose(ex.reshape(x, [ex.sizeOf(x, 0), ex.sizeOf(x, 1), heads, headDim]), perm);
}

/** `[batch, heads, sequence, headDim]` → `[batch, sequence, heads·headDim]`. */
export function mergeHeads(ex: Exporter, context: Value, width: number): Value {
  const turned = ex.transpose(context, [0, 2, 1, 3]);
  return ex.reshape(turned, [ex.sizeOf(turned, 0), ex.sizeOf(turned, 1), width]);
}

/** Where the heads of a plain linear layer lie: one after the other along its outputs. */
export function outputsOf({ weight, bias }: Linear, headDim: number, start = 0): Projection {
  return { weight, ...(bias !== undefined && { bias }), axis: 1, start, headStride: headDim };
}

/** Where the heads lie that an output projection sums over. */
export function inputsOf({ weight, bias }: Linear, headDim: number): Projection {
  return { weight, ...(bias !== undefined && { bias }), axis: 0, start: 0, headStride: headDim };
}

/** The names of the four projections in the kind of module at hand. */
export type ProjectionNames = readonly [query: string, key: string, value: string, output: string];

/** Query, key and value projections of one or two inputs. */
export function projectInputs(
  ex: Exporter,
  x: Value,
  context: Value,
  shape: AttentionShape,
  [query, key, value]: ProjectionNames,
  { bias, keyBias = bias }: { readonly bias: boolean; readonly keyBias?: boolean },
): { q: Linear; k: Linear; v: Linear } {
  const { width, heads, headDim, kvHeads = heads } = shape;
  const inner: [number, number] = [width, heads * headDim];
  const shared: [number, number] = [width, kvHeads * headDim];
  return {
    q: ex.linear(query, x, inner, { bias }),
    k: ex.linear(key, context, shared, { bias: keyBias }),
    v: ex.linear(value, context, shared, { bias }),
  };
}

/** The expectation of the layer in whose scope the writer is, with four plain projections. */
export function expectation(
  ex: Exporter,
  pattern: string,
  { heads, headDim, kvHeads = heads }: AttentionShape,
  { q, k, v, o }: { q: Linear; k?: Linear | undefined; v?: Linear | undefined; o: Linear },
  scale = 1 / Math.sqrt(headDim),
): AttentionExpectation {
  return {
    pattern,
    name: ex.scope,
    heads,
    kvHeads,
    headDim,
    scale,
    query: outputsOf(q, headDim),
    ...(k && { key: outputsOf(k, headDim) }),
    ...(v && { value: outputsOf(v, headDim) }),
    output: inputsOf(o, headDim),
  };
}
