import type { Dim, ValueType } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import { intAttribute, intsAttribute } from "../ops/attributes.ts";
import { addDims, broadcastShapes, divideDims, multiplyDims } from "./dims.ts";
import { type ShapeRule, shapeRules } from "./shape-rules.ts";
import type { NodeView } from "./view.ts";

type Shape = readonly Dim[];

function typed(dtype: DataType | undefined, shape: Shape | undefined): ValueType | undefined {
  if (!dtype) return undefined;
  return shape ? { dtype, shape } : { dtype };
}

/** The rule of the standard operator that a fused one starts with. */
function standard(op: string): ShapeRule {
  const rule = shapeRules[op];
  if (!rule) throw new Error(`unreachable: no shape rule for ${op}`);
  return rule;
}

const same: ShapeRule = (view) => [typed(view.dtype(0), view.shape(0))];

/** Columns of the packed weight that make Q, K and V, each `heads · head dim`. */
export function packedWidths(view: NodeView): readonly Dim[] {
  const given = intsAttribute(view.node, "qkv_hidden_sizes");
  const third = divideDims(view.shape(1)?.[1], 3);
  return given?.length === 3 ? given : [third, third, third];
}

/** `present` of a cache `past` along its axis of positions: `past + new`, or the whole buffer where both share one. */
function grown(past: Shape | undefined, at: number, added: Dim, shared: boolean): Dim {
  if (!past) return added;
  return shared ? past[at] : addDims([past[at], added]);
}

/** com.microsoft.Attention and QAttention: `[B, S, d_in] → [B, S, V width]`, `present` `[2, B, H, T, d]`. */
const packedAttention =
  (pastInput: number, dtypeInput: number): ShapeRule =>
  (view) => {
    const x = view.shape(0);
    const [, keyWidth, valueWidth] = packedWidths(view);
    const dtype = view.dtype(dtypeInput);
    const heads = intAttribute(view.node, "num_heads", 0);
    const shared = intAttribute(view.node, "past_present_share_buffer", 0) !== 0;
    const total = grown(view.shape(pastInput), 3, x?.[1], shared);
    const known = x?.length === 3;
    return [
      typed(dtype, known ? [x[0], x[1], valueWidth] : undefined),
      typed(dtype, known ? [2, x[0], heads, total, divideDims(keyWidth, heads)] : undefined),
    ];
  };

/** Q, K and V of com.microsoft.MultiHeadAttention in all their layouts. */
export interface MultiHeadSizes {
  readonly heads: number;
  /** Head dims of Q and K, and of V. */
  readonly keyDim: Dim;
  readonly valueDim: Dim;
  /** Positions of K and V without those of the cache. */
  readonly keys: Dim;
}

/**
 * Sizes of a MultiHeadAttention: Q `[B, S, H·d]` with K and V `[B, L, H·d]`, or K and V as caches `[B, H, L, d]`, or K and V
 * packed as `[B, L, H, 2, d]`, or all packed as `[B, S, H, 3, d]`. `undefined` for anything else.
 */
export function multiHeadSizes(view: NodeView): MultiHeadSizes | undefined {
  const heads = intAttribute(view.node, "num_heads", 0);
  const [query, key, value] = [0, 1, 2].map((i) => view.shape(i));
  if (query?.length === 5) return { heads, keyDim: query[4], valueDim: query[4], keys: query[1] };
  const keyDim = divideDims(query?.[2], heads);
  if (query?.length !== 3) return undefined;
  if (key?.length === 5) return { heads, keyDim, valueDim: key[4], keys: key[1] };
  if (key?.length === 4 && value?.length === 4) return { heads, keyDim, valueDim: value[3], keys: key[2] };
  if (key?.length !== 3 || value?.length !== 3) return undefined;
  return { heads, keyDim, valueDim: divideDims(value[2], heads), keys: key[1] };
}

const multiHead: ShapeRule = (view) => {
  const dtype = view.dtype(0);
  const sizes = multiHeadSizes(view);
  const query = view.shape(0);
  if (!sizes || !query) return [typed(dtype, undefined)];
  const { heads, keyDim, valueDim, keys } = sizes;
  const total = grown(view.shape(6), 2, keys, view.input(8) !== undefined);
  return [
    typed(dtype, [query[0], query[1], multiplyDims([heads, valueDim])]),
    typed(dtype, [query[0], heads, total, keyDim]),
    typed(dtype, [query[0], heads, total, valueDim]),
    typed(dtype, [query[0], heads, query[1], total]),
  ];
};

/** Head counts and head dim of a GroupQueryAttention; Q, K and V may be packed as `[B, S, (H + 2·Hkv)·d]`. */
export function groupedSizes(view: NodeView): { heads: number; kvHeads: number; dim: Dim; packed: boolean } {
  const heads = intAttribute(view.node, "num_heads", 0);
  const kvHeads = intAttribute(view.node, "kv_num_heads", 0);
  const packed = view.input(1) === undefined;
  return {
    heads,
    kvHeads,
    packed,
    dim: divideDims(view.shape(0)?.[2], packed ? heads + 2 * kvHeads : heads),
  };
}

/** The cache's length is the larger of its buffer and the total length, which is known at run time only. */
const grouped: ShapeRule = (view) => {
  const query = view.shape(0);
  const past = view.shape(3);
  const dtype = view.dtype(0);
  const { heads, kvHeads, dim, packed } = groupedSizes(view);
  if (query?.length !== 3) return [typed(dtype, undefined)];
  const [batch, positions] = query;
  const total = past ? undefined : packed ? positions : view.shape(1)?.[1];
  const cache = [batch, kvHeads, total, past ? past[3] : dim];
  return [
    typed(dtype, [batch, positions, multiplyDims([heads, dim])]),
    typed(view.dtype(3) ?? dtype, cache),
    typed(view.dtype(4) ?? dtype, cache),
    typed(dtype, [batch, heads, positions, total]),
  ];
};

/** Sizes of an ai.onnx Attention, whose Q, K and V are `[B, T, H·d]` or `[B, H, T, d]`; `undefined` for anything else. */
export interface AttentionSizes {
  /** Whether heads have an axis of their own. */
  readonly apart: boolean;
  readonly heads: Dim;
  readonly kvHeads: Dim;
  readonly keyDim: Dim;
  readonly valueDim: Dim;
  readonly queries: Dim;
  readonly keys: Dim;
}

/** See `AttentionSizes`. */
export function attentionSizes(view: NodeView): AttentionSizes | undefined {
  const [query, key, value] = [0, 1, 2].map((i) => view.shape(i));
  if (query?.length === 4 && key?.length === 4 && value?.length === 4) {
    const [, heads, queries, keyDim] = query;
    return { apart: true, heads, kvHeads: key[1], keyDim, valueDim: value[3], queries, keys: key[2] };
  }
  if (query?.length !== 3 || key?.length !== 3 || value?.length !== 3) return undefined;
  const heads = intAttribute(view.node, "q_num_heads", 0);
  const kvHeads = intAttribute(view.node, "kv_num_heads", 0);
  return {
    apart: false,
    heads,
    kvHeads,
    keyDim: divideDims(query[2], heads),
    valueDim: divideDims(value[2], kvHeads),
    queries: query[1],
    keys: key[1],
  };
}

const attention: ShapeRule = (view) => {
  const dtype = view.dtype(0);
  const sizes = attentionSizes(view);
  if (!sizes) return [typed(dtype, undefined)];
  const { apart, heads, kvHeads, keyDim, valueDim, queries, keys } = sizes;
  const batch = view.shape(0)?.[0];
  const total = grown(view.shape(4), 2, keys, false);
  return [
    typed(
      dtype,
      apart ? [batch, heads, queries, valueDim] : [batch, queries, multiplyDims([heads, valueDim])],
    ),
    typed(dtype, [batch, kvHeads, total, keyDim]),
    typed(view.dtype(2), [batch, kvHeads, total, valueDim]),
    typed(dtype, [batch, heads, queries, total]),
  ];
};

/** SkipLayerNormalization and SkipSimplifiedLayerNormalization: the result, two statistics, and the sum it normalises. */
const skipNormalization: ShapeRule = (view) => {
  const x = view.shape(0);
  const statistics = x && [...x.slice(0, -1), 1];
  const whole = typed(view.dtype(0), x);
  return [whole, typed("float32", statistics), typed("float32", statistics), whole];
};

const embedNormalization: ShapeRule = (view) => {
  const ids = view.shape(0);
  const whole = typed(view.dtype(2), ids && [...ids, view.shape(2)?.[1]]);
  return [whole, typed("int32", ids && [ids[0]]), whole];
};

const fusedMatmul: ShapeRule = (view) => {
  const [a, b] = [0, 1].map((i) => view.shape(i));
  const swapped = (shape: Shape, name: string): Shape =>
    intAttribute(view.node, name, 0) === 0 || shape.length < 2
      ? shape
      : [...shape.slice(0, -2), shape.at(-1), shape.at(-2)];
  const moved = ["transBatchA", "transBatchB"].some((name) => intAttribute(view.node, name, 0) !== 0);
  if (!a || !b || moved || a.length < 2 || b.length < 2) return [typed(view.dtype(0), undefined)];
  const columns = swapped(b, "transB").at(-1);
  const rows = swapped(a, "transA").at(-2);
  const batch = broadcastShapes([a.slice(0, -2), b.slice(0, -2)]) ?? [];
  return [typed(view.dtype(0), [...batch, rows, columns])];
};

const halved: ShapeRule = (view) => {
  const x = view.shape(0);
  return [typed(view.dtype(0), x && [...x.slice(0, -1), divideDims(x.at(-1), 2)])];
};

/**
 * Shape rules of the operators that onnxruntime and exporters fuse: attention with its caches, rotary embeddings, skip and
 * embedding normalisation, fused biases and activations. Rows of the standard domain by operator, others by
 * `domain.Operator`.
 */
export const fusedShapeRules: Readonly<Record<string, ShapeRule>> = {
  Attention: attention,
  RotaryEmbedding: same,
  SimplifiedLayerNormalization: standard("LayerNormalization"),
  "com.microsoft.Attention": packedAttention(4, 0),
  "com.microsoft.QAttention": packedAttention(8, 3),
  "com.microsoft.MultiHeadAttention": multiHead,
  "com.microsoft.GroupQueryAttention": grouped,
  "com.microsoft.RotaryEmbedding": same,
  "com.microsoft.SkipLayerNormalization": skipNormalization,
  "com.microsoft.SkipSimplifiedLayerNormalization": skipNormalization,
  "com.microsoft.EmbedLayerNormalization": embedNormalization,
  "com.microsoft.BiasGelu": same,
  "com.microsoft.FastGelu": same,
  "com.microsoft.QuickGelu": same,
  "com.microsoft.Gelu": same,
  "com.microsoft.BiasAdd": same,
  "com.microsoft.BiasSplitGelu": halved,
  "com.microsoft.FusedMatMul": fusedMatmul,
  "com.microsoft.FusedGemm": standard("Gemm"),
  "com.microsoft.FusedConv": standard("Conv"),
};
