import { tensorOf, type Value } from "@dgate/onnx";
import { type Pattern, pattern } from "./attention-block.ts";
import { type Attended, type AttentionShape, expectation, projectInputs } from "./attention-parts.ts";
import { type CachedLayer, extendCache, type Memory } from "./cache.ts";
import type { Exporter } from "./exporter.ts";
import { expandedMask } from "./masks.ts";

/** What a BART layer attends to and how. */
export interface FoldedOptions extends Memory {
  /** Additive, `[batch, 1, queries, keys]`. */
  readonly mask?: Value | undefined;
  /** Keys and values come from here instead of the input: cross-attention. */
  readonly context?: Value;
  /** Whisper's key projection has no bias. */
  readonly keyBias?: boolean;
  readonly name?: string;
}

/**
 * The BART family's eager attention (U7): q is scaled before the heads are folded into the batch by Reshape(B·H, T, d); a mask is
 * added between Reshape(B, H, T, S) and Reshape(B·H, T, S). BART, Whisper, wav2vec2, CLIP, OPT.
 */
export function foldedAttention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  { mask, context = x, keyBias, past, fixed, name = "self_attn" }: FoldedOptions = {},
): CachedLayer {
  const { width, heads, headDim, bias = true } = shape;
  return ex.within(name, () => {
    const inner = heads * headDim;
    const batch = ex.scalar(ex.sizeOf(x, 0));
    const length = ex.scalar(ex.sizeOf(x, 1));
    const split = ({ y }: { readonly y: Value }, size: Value | number): Value =>
      ex.transpose(ex.reshape(y, [batch, size, heads, headDim]), [0, 2, 1, 3]);
    const q = ex.linear("q_proj", x, [width, inner], { bias });
    const scaled = { y: ex.op("Mul", [q.y, ex.f32(1 / Math.sqrt(headDim))]) };
    const project = (part: string, withBias: boolean) =>
      fixed ? undefined : ex.linear(part, context, [width, inner], { bias: withBias });
    const k = project("k_proj", keyBias ?? bias);
    const v = project("v_proj", bias);
    const present = k && v ? extendCache(ex, past, split(k, -1), split(v, -1)) : fixed!;
    const parts = { batch, length, shape, mask };
    const o = foldedCore(ex, split(scaled, length), present.key, present.value, parts);
    return { y: o.y, attention: expectation(ex, "U7", shape, { q, k, v, o }), present };
  });
}

/** The part of a folded attention behind the split into heads, `[batch, heads, length, headDim]` each; with `out_proj`. */
export function foldedCore(
  ex: Exporter,
  query: Value,
  key: Value,
  value: Value,
  {
    batch,
    length,
    shape: { width, heads, headDim, bias = true },
    mask,
  }: {
    readonly batch: Value;
    readonly length: Value;
    readonly shape: AttentionShape;
    readonly mask?: Value | undefined;
  },
) {
  const folded = (): Value => ex.op("Mul", [batch, ex.i64(heads)]);
  const [q, k, v] = [query, key, value].map((part) => ex.reshape(part, [folded(), -1, headDim]));
  const keys = ex.scalar(ex.sizeOf(k!, 1));
  const product = ex.op("MatMul", [q!, ex.transpose(k!, [0, 2, 1])]);
  const masked = mask
    ? ex.reshape(ex.op("Add", [ex.reshape(product, [batch, heads, length, keys]), mask]), [
        folded(),
        length,
        keys,
      ])
    : product;
  const context = ex.op("MatMul", [ex.softmax(masked, 3), v!]);
  const unfolded = ex.transpose(ex.reshape(context, [batch, heads, length, headDim]), [0, 2, 1, 3]);
  const merged = ex.reshape(unfolded, [batch, length, heads * headDim]);
  return ex.linear("out_proj", merged, [heads * headDim, width], { bias });
}

/**
 * OpenAI's Whisper (U8): the fourth root of 1/d, computed as `Pow(Cast(Div(Gather(Shape(q)), H)), −¼)`, multiplies q and k
 * separately; the last size of the views is −1; the heads are merged by a Reshape whose target ends in −1.
 */
export function openaiWhisperAttention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  { mask, name = "attn" }: { readonly mask?: Value | undefined; readonly name?: string } = {},
): Attended {
  const { width, heads, headDim, bias = true } = shape;
  return ex.within(name, () => {
    const names = ["query", "key", "value", "out"] as const;
    const { q, k, v } = projectInputs(ex, x, x, shape, names, { bias, keyBias: false });
    const length = ex.scalar(ex.sizeOf(q.y, 1));
    const features = ex.op("Div", [ex.scalar(ex.sizeOf(q.y, 2)), ex.i64(heads)]);
    const scale = ex.op("Pow", [ex.cast(ex.cast(features, "int64"), "float32"), ex.f32(-0.25)]);
    const split = (value: Value, perm: readonly number[]): Value =>
      ex.transpose(ex.reshape(value, [ex.sizeOf(value, 0), ex.sizeOf(value, 1), heads, -1]), perm);
    const queries = ex.op("Mul", [split(q.y, [0, 2, 1, 3]), scale]);
    const keys = ex.op("Mul", [split(k.y, [0, 2, 3, 1]), scale]);
    const values = split(v.y, [0, 2, 1, 3]);
    const product = ex.op("MatMul", [queries, keys]);
    const scores = mask
      ? ex.op("Add", [product, ex.slice(ex.slice(mask, 0, length, 0), 0, length, 1)])
      : product;
    const turned = ex.transpose(ex.op("MatMul", [ex.softmax(scores), values]), [0, 2, 1, 3]);
    const front = ex.op("Slice", [ex.op("Shape", [turned]), ex.i64s([0]), ex.i64s([2]), ex.i64s([0])]);
    const merged = ex.op("Reshape", [turned, ex.concat([front, ex.i64s([-1])], 0)]);
    const o = ex.linear("out", merged, [heads * headDim, width], { bias });
    return { y: o.y, attention: expectation(ex, "U8", shape, { q, k, v, o }) };
  });
}

/** OpenAI's causal mask: a buffer `[size, size]` of −∞ above the diagonal. */
export function infinityMask(ex: Exporter, size: number): Value {
  return ex.buffer("mask", () => {
    const values = Array.from({ length: size * size }, (_, i) =>
      i % size > Math.floor(i / size) ? -Infinity : 0,
    );
    return tensorOf("float32", [size, size], values);
  });
}

/** U7 and U8. */
export const foldedPatterns: readonly Pattern[] = [
  pattern(
    "U7",
    "BART encoder, heads in the batch",
    { opset: 11 },
    { mask: "padding" },
    (ex, x, shape, mask) => foldedAttention(ex, x, shape, { mask: expandedMask(ex, mask!, ex.sizeOf(x, 1)) }),
  ),
  pattern("U7", "Whisper encoder, K without bias", { opset: 14 }, {}, (ex, x, shape) =>
    foldedAttention(ex, x, shape, { keyBias: false }),
  ),
  pattern("U8", "OpenAI Whisper", { opset: 13 }, {}, (ex, x, shape) => openaiWhisperAttention(ex, x, shape)),
  pattern("U8", "OpenAI Whisper, causal", { opset: 13 }, { mask: "causal" }, (ex, x, shape) =>
    openaiWhisperAttention(ex, x, shape, { mask: infinityMask(ex, 8) }),
  ),
];
