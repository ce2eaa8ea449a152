import { string, type Value } from "@dgate/onnx";
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
import type { Linear } from "./graph-writer.ts";
import { extendedMask } from "./masks.ts";

const einsum = (ex: Exporter, equation: string, a: Value, b: Value): Value =>
  ex.op("Einsum", [a, b], { equation: string(equation) });

/** vit-pytorch's and x-transformers' attention (U14): rearranged projections, Einsum for scores and context. */
export function einsumAttention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  { mask }: { readonly mask?: Value | undefined } = {},
): Attended {
  const { width, heads, headDim, bias = false } = shape;
  return ex.within("attn", () => {
    const { q, k, v } = projectInputs(ex, x, x, shape, ["to_q", "to_k", "to_v", "to_out"], { bias });
    const [queries, keys, values] = [q, k, v].map(({ y }) => splitHeads(ex, y, heads, headDim));
    const product = einsum(ex, "bhid,bhjd->bhij", queries!, keys!);
    const scores = ex.op("Mul", [product, ex.f32(1 / Math.sqrt(headDim))]);
    const weights = ex.softmax(mask ? ex.op("Add", [scores, mask]) : scores);
    const context = einsum(ex, "bhij,bhjd->bhid", weights, values!);
    const o = ex.linear("to_out.0", mergeHeads(ex, context, heads * headDim), [heads * headDim, width]);
    return { y: o.y, attention: expectation(ex, "U14", shape, { q, k, v, o }) };
  });
}

/**
 * Keras' MultiHeadAttention (U14): weights `[width, heads, headDim]` and `[heads, headDim, width]`, all products as Einsum; no
 * Reshape at all. Heads stay the last axis but one.
 */
export function kerasAttention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  { mask }: { readonly mask?: Value | undefined } = {},
): Attended {
  const { width, heads, headDim } = shape;
  return ex.within("multi_head_attention", () => {
    const project = (name: string): Linear =>
      ex.within(name, () => {
        const w = ex.weight("kernel", [width, heads, headDim], { scale: 1 / Math.sqrt(width) });
        const b = ex.weight("bias", [heads, headDim]);
        const y = ex.op("Add", [einsum(ex, "btd,dhk->bthk", x, w), b]);
        return { y, weight: w.name, bias: b.name };
      });
    const [q, k, v] = [project("query"), project("key"), project("value")];
    const scaled = ex.op("Mul", [q.y, ex.f32(1 / Math.sqrt(headDim))]);
    const product = einsum(ex, "aecd,abcd->acbe", k.y, scaled);
    const weights = ex.softmax(mask ? ex.op("Add", [product, mask]) : product);
    const context = einsum(ex, "acbe,aecd->abcd", weights, v.y);
    const o = ex.within("attention_output", () => {
      const w = ex.weight("kernel", [heads, headDim, width], { scale: 1 / Math.sqrt(heads * headDim) });
      const b = ex.weight("bias", [width]);
      const y = ex.op("Add", [einsum(ex, "abcd,cde->abe", context, w), b]);
      return { y, weight: w.name, bias: b.name };
    });
    return { y: o.y, attention: expectation(ex, "U14", shape, { q, k, v, o }) };
  });
}

/** U14. */
export const einsumPatterns: readonly Pattern[] = [
  pattern("U14", "Einsum scores and context", { opset: 12 }, {}, (ex, x, shape) =>
    einsumAttention(ex, x, shape),
  ),
  pattern("U14", "Einsum with mask", { opset: 13 }, { mask: "padding" }, (ex, x, shape, mask) =>
    einsumAttention(ex, x, shape, { mask: extendedMask(ex, mask!) }),
  ),
  pattern(
    "U14",
    "Keras, Einsum projections",
    { opset: 13, constants: "initializers" },
    { mask: "padding" },
    (ex, x, shape, mask) => kerasAttention(ex, x, shape, { mask: extendedMask(ex, mask!) }),
  ),
];
