import type { Value } from "@dgate/onnx";
import { type Pattern, pattern } from "./attention-block.ts";
import {
  type Attended,
  type AttentionShape,
  expectation,
  mergeHeads,
  projectInputs,
  splitHeads,
} from "./attention-parts.ts";
import type { Exporter } from "./exporter.ts";
import { extendedMask, lowest, triangleBuffer } from "./masks.ts";

const bertNames = ["self/query", "self/key", "self/value", "output/dense"] as const;

/**
 * BERT's eager attention. U1 divides the scores by √d, U2 multiplies them by 1/√d; without a mask this is U5, as in ViT.
 *
 * @param mask additive, broadcast to `[batch, heads, queries, keys]`
 */
export function eagerAttention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  {
    mask,
    scaling = "Div",
    name = "attention",
  }: { readonly mask?: Value; readonly scaling?: "Div" | "Mul"; readonly name?: string } = {},
): Attended {
  const { width, heads, headDim, bias = true } = shape;
  return ex.within(name, () => {
    const { q, k, v } = projectInputs(ex, x, x, shape, bertNames, { bias });
    const merged = ex.within("self", () => {
      const keySplit = ex.reshape(k.y, [ex.sizeOf(k.y, 0), ex.sizeOf(k.y, 1), heads, headDim]);
      const values = splitHeads(ex, v.y, heads, headDim);
      const queries = splitHeads(ex, q.y, heads, headDim);
      const product = ex.op("MatMul", [queries, ex.transpose(keySplit, [0, 2, 3, 1])]);
      const root = Math.sqrt(headDim);
      const scores =
        scaling === "Div" ? ex.op("Div", [product, ex.f32(root)]) : ex.op("Mul", [product, ex.f32(1 / root)]);
      const masked = mask ? ex.op("Add", [scores, mask]) : scores;
      return mergeHeads(ex, ex.op("MatMul", [ex.softmax(masked), values]), heads * headDim);
    });
    const o = ex.linear("output/dense", merged, [heads * headDim, width], { bias });
    const id = mask === undefined ? "U5" : scaling === "Div" ? "U1" : "U2";
    return { y: o.y, attention: expectation(ex, id, shape, { q, k, v, o }) };
  });
}

const distilNames = ["q_lin", "k_lin", "v_lin", "out_lin"] as const;

/** DistilBERT's attention (U3): q is divided by √d first; padded keys get the lowest float by Where. `mask`: `[batch, keys]` of 0 and 1. */
export function distilBertAttention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  mask: Value,
  name = "attention",
): Attended {
  const { width, heads, headDim, bias = true } = shape;
  return ex.within(name, () => {
    const batch = ex.scalar(ex.sizeOf(x, 0));
    const keys = ex.scalar(ex.sizeOf(x, 1));
    const { q, k, v } = projectInputs(ex, x, x, shape, distilNames, { bias });
    const split = (value: Value): Value =>
      ex.transpose(ex.reshape(value, [batch, -1, heads, headDim]), [0, 2, 1, 3]);
    const [queries, keyed, values] = [split(q.y), split(k.y), split(v.y)];
    const scaled = ex.op("Div", [queries, ex.f32(Math.sqrt(headDim))]);
    const scores = ex.op("MatMul", [scaled, ex.transpose(keyed, [0, 1, 3, 2])]);
    const padded = ex.op("Equal", [mask, ex.i64(0)]);
    const wide = ex.op("Expand", [ex.reshape(padded, [batch, 1, 1, keys]), ex.op("Shape", [scores])]);
    const filled = ex.op("Where", [ex.cast(wide, "bool"), ex.f32(lowest), scores]);
    const context = ex.transpose(ex.op("MatMul", [ex.softmax(filled), values]), [0, 2, 1, 3]);
    const merged = ex.reshape(context, [batch, -1, heads * headDim]);
    const o = ex.linear("out_lin", merged, [heads * headDim, width], { bias });
    return { y: o.y, attention: expectation(ex, "U3", shape, { q, k, v, o }) };
  });
}

/**
 * The causal scores of GPT-2's eager attention (U4): divided by √d, Where with a slice of the triangle of ones whose bounds come from
 * the shapes of query and key, then, if there is a padding mask, Add.
 *
 * @param query `[batch, heads, queries, headDim]`
 * @param key `[batch, heads, keys, headDim]`
 */
export function causalWeights(
  ex: Exporter,
  query: Value,
  key: Value,
  headDim: number,
  { mask, maxLength = 32 }: { readonly mask?: Value | undefined; readonly maxLength?: number } = {},
): Value {
  const product = ex.op("MatMul", [query, ex.transpose(key, [0, 1, 3, 2])]);
  const scores = ex.op("Div", [product, ex.f32(Math.sqrt(headDim))]);
  const queries = ex.scalar(ex.sizeOf(query, 2));
  const keys = ex.scalar(ex.sizeOf(key, 2));
  const first = ex.op("Sub", [keys, queries]);
  const dtype = ex.opset < 13 ? "uint8" : "bool";
  const rows = ex.slice(triangleBuffer(ex, "bias", maxLength, dtype), first, keys, 2);
  const triangle = ex.slice(rows, 0, keys, 3);
  const seen = ex.opset < 13 ? ex.cast(triangle, "bool") : triangle;
  const filled = ex.op("Where", [seen, scores, ex.f32(ex.opset < 13 ? -10000 : lowest)]);
  return ex.softmax(mask ? ex.op("Add", [filled, mask]) : filled);
}

/** Attention with a causal Where mask (U4) and separate projections, as GPT-Neo has it. `mask`: additive, for padding. */
export function causalAttention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  { mask, name = "attn" }: { readonly mask?: Value; readonly name?: string } = {},
): Attended {
  const { width, heads, headDim, bias = true } = shape;
  return ex.within(name, () => {
    const names = ["q_proj", "k_proj", "v_proj", "out_proj"] as const;
    const { q, k, v } = projectInputs(ex, x, x, shape, names, { bias });
    const [queries, keys, values] = [q, k, v].map(({ y }) => splitHeads(ex, y, heads, headDim));
    const weights = causalWeights(ex, queries!, keys!, headDim, { mask });
    const merged = mergeHeads(ex, ex.op("MatMul", [weights, values!]), heads * headDim);
    const o = ex.linear("out_proj", merged, [heads * headDim, width], { bias });
    return { y: o.y, attention: expectation(ex, "U4", shape, { q, k, v, o }) };
  });
}

/** U1 to U5. */
export const eagerPatterns: readonly Pattern[] = [
  pattern("U1", "BERT eager", { opset: 11 }, { mask: "padding" }, (ex, x, shape, mask) =>
    eagerAttention(ex, x, shape, { mask: extendedMask(ex, mask!) }),
  ),
  pattern("U2", "eager, scale as Mul", { opset: 14 }, { mask: "padding" }, (ex, x, shape, mask) =>
    eagerAttention(ex, x, shape, { mask: extendedMask(ex, mask!, lowest), scaling: "Mul" }),
  ),
  pattern("U3", "DistilBERT", { opset: 11 }, { mask: "padding" }, (ex, x, shape, mask) =>
    distilBertAttention(ex, x, shape, mask!),
  ),
  pattern("U4", "causal Where", { opset: 13 }, { mask: "causal" }, (ex, x, shape) =>
    causalAttention(ex, x, shape),
  ),
  pattern("U4", "causal Where and padding", { opset: 11 }, { mask: "causal-padding" }, (ex, x, shape, mask) =>
    causalAttention(ex, x, shape, { mask: extendedMask(ex, mask!) }),
  ),
  pattern("U5", "ViT", { opset: 13 }, {}, (ex, x, shape) => eagerAttention(ex, x, shape)),
];
