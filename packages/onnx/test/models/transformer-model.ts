import { randomGenerator } from "@dgate/core";
import { type Dim, type Graph, type Tensor, tensorOf } from "@dgate/onnx";
import type { InputContent } from "./input-content.ts";

export interface InputSpec {
  readonly name: string;
  readonly content: InputContent;
}

/**
 * Where a projection keeps its heads: feature `j` of head `h` is index `start + h·headStride + j` of the weight's head axis, and
 * of its bias. The weight is read as a matrix `[in, out]`, all axes from `axis` on (up to it for the output projection) merged.
 */
export interface Projection {
  readonly weight: string;
  readonly bias?: string;
  /** The axis of the weight that holds the heads; for the output projection the one that is summed over. */
  readonly axis: number;
  readonly start: number;
  readonly headStride: number;
}

/**
 * One attention layer of a test model: softmax(scale·q·kᵀ + mask)·v per head, then the output projection. Query head `h` reads
 * key and value head ⌊h / (heads/kvHeads)⌋.
 */
export interface AttentionExpectation {
  /** The row of the pattern table: "U1" … "U16". */
  readonly pattern: string;
  /** The scope of the layer, a part of its nodes' names. */
  readonly name: string;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly scale: number;
  readonly query: Projection;
  /** Absent, as `value`, where keys and values are inputs: in the cross-attention of a decoder with a past. */
  readonly key?: Projection;
  readonly value?: Projection;
  readonly output: Projection;
}

/** A test model with what is true of it. */
export interface TransformerModel {
  readonly graph: Graph;
  readonly attention: readonly AttentionExpectation[];
  /** A small size for each symbolic dimension of the inputs. */
  readonly dims: Readonly<Record<string, number>>;
  readonly inputs: readonly InputSpec[];
}

function sizeOf(dim: Dim, dims: Readonly<Record<string, number>>): number {
  if (typeof dim === "number") return dim;
  if (dim !== undefined && Object.hasOwn(dims, dim)) return dims[dim]!;
  const terms = dim?.split(" + ") ?? [];
  if (terms.length < 2) throw new Error(`the test model gives no size for the dimension "${dim}"`);
  return terms.reduce((sum, term) => sum + sizeOf(/^\d+$/.test(term) ? Number(term) : term, dims), 0);
}

/** Seeded feeds that the model is made for: tokens of its vocabulary, masks that leave something visible, counting positions. */
export function feedsOf(
  { graph, inputs, dims: defaults }: TransformerModel,
  seed: number,
  dims: Readonly<Record<string, number>> = {},
): Record<string, Tensor> {
  const random = randomGenerator(seed);
  const sizes = { ...defaults, ...dims };
  return Object.fromEntries(
    inputs.map(({ name, content }) => {
      const type = graph.value(name)?.type;
      if (!type?.shape) throw new Error(`input "${name}" has no shape`);
      const shape = type.shape.map((dim) => sizeOf(dim, sizes));
      const columns = shape.at(-1) ?? 1;
      const count = shape.reduce((a, b) => a * b, 1);
      const at = (_: unknown, i: number): number =>
        content.at({
          random,
          row: Math.floor(i / columns),
          column: i % columns,
          columns,
          sizeOf: (dim) => sizeOf(dim, sizes),
        });
      return [name, tensorOf(type.dtype, shape, Array.from({ length: count }, at))];
    }),
  );
}
