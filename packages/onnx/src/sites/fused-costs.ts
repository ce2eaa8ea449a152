import type { Dim } from "../graph/graph.ts";
import { addDims, multiplyDims } from "../infer/dims.ts";
import { attentionSizes, groupedSizes, multiHeadSizes, packedWidths } from "../infer/fused-shapes.ts";
import type { NodeView } from "../infer/view.ts";
import { intAttribute } from "../ops/attributes.ts";
import type { MacRule } from "./count-costs.ts";

/** Positions of the keys: those of the cache, axis `at` of input `past`, and the new ones. */
function keysOf(view: NodeView, past: number, at: number, added: Dim): Dim {
  const cache = view.shape(past);
  return cache ? addDims([cache[at], added]) : added;
}

/** Q·Kᵀ and P·V: queries × keys × (channels of Q + channels of the result), per sample. */
function products(
  batch: Dim,
  queries: Dim,
  keys: Dim,
  channels: readonly Dim[],
  size: (dim: Dim) => number,
): number {
  return size(batch) * size(queries) * size(keys) * channels.reduce<number>((sum, dim) => sum + size(dim), 0);
}

/** The projection to Q, K and V, and the two products. */
const packed =
  (past: number): MacRule =>
  (view, size) => {
    const x = view.shape(0);
    if (x?.length !== 3) return 0;
    const [batch, queries, inputs] = x;
    const [queryWidth, keyWidth, valueWidth] = packedWidths(view);
    const columns = size(queryWidth) + size(keyWidth) + size(valueWidth);
    return (
      size(batch) * size(queries) * size(inputs) * columns +
      products(batch, queries, keysOf(view, past, 3, queries), [queryWidth, valueWidth], size)
    );
  };

const multiHead: MacRule = (view, size) => {
  const sizes = multiHeadSizes(view);
  const query = view.shape(0);
  if (!sizes || !query) return 0;
  const widths = [sizes.keyDim, sizes.valueDim].map((dim) => multiplyDims([sizes.heads, dim]));
  return products(query[0], query[1], keysOf(view, 6, 2, sizes.keys), widths, size);
};

const grouped: MacRule = (view, size) => {
  const query = view.shape(0);
  if (query?.length !== 3) return 0;
  const { heads, dim, packed: oneInput } = groupedSizes(view);
  const width = multiplyDims([heads, dim]);
  const added = oneInput ? query[1] : view.shape(1)?.[1];
  const keys = view.content(6)?.[0] ?? keysOf(view, 3, 2, added);
  return products(query[0], query[1], keys, [width, width], size);
};

const attention: MacRule = (view, size) => {
  const sizes = attentionSizes(view);
  if (!sizes) return 0;
  const { heads, keyDim, valueDim, queries, keys } = sizes;
  const widths = [keyDim, valueDim].map((dim) => multiplyDims([heads, dim]));
  return products(view.shape(0)?.[0], queries, keysOf(view, 4, 2, keys), widths, size);
};

/** `[…, M, K] × [K, N]` with either operand transposed: output elements × K. */
const fusedMatmul: MacRule = (view, size) => {
  const rows = view.shape(0);
  const depth = rows?.at(intAttribute(view.node, "transA", 0) ? -2 : -1);
  return (view.outputShape() ?? []).reduce<number>((total, dim) => total * size(dim), rows ? size(depth) : 0);
};

/** Multiply–adds of fused operators; keys as in `fusedShapeRules`. Rotary embeddings and normalisations are not counted. */
export const fusedMacRules: Readonly<Record<string, MacRule>> = {
  Attention: attention,
  "com.microsoft.Attention": packed(4),
  "com.microsoft.QAttention": packed(8),
  "com.microsoft.MultiHeadAttention": multiHead,
  "com.microsoft.GroupQueryAttention": grouped,
  "com.microsoft.FusedMatMul": fusedMatmul,
};
