import { int, type Value } from "@dgate/onnx";
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
import { expandedMask } from "./masks.ts";

/** What `scaled_dot_product_attention` is given for a mask. */
export type SdpaMask =
  | { readonly kind: "additive"; readonly mask: Value }
  /** True where a key is seen; `guard` adds newer exporters' `Where(IsNaN(p), 0, p)`. */
  | { readonly kind: "boolean"; readonly mask: Value; readonly guard: boolean }
  | { readonly kind: "causal" };

/**
 * torch's `scaled_dot_product_attention` as the opset 14 exporter writes it: the scale is computed from the shape of q, and its
 * root multiplies q and the transposed k.
 *
 * @param q `[batch, heads, queries, headDim]`
 * @param k `[batch, heads, keys, headDim]`
 * @returns `[batch, heads, queries, headDim]`
 */
export function scaledDotProduct(ex: Exporter, q: Value, k: Value, v: Value, mask?: SdpaMask): Value {
  const last = ex.op("Slice", [ex.op("Shape", [q]), ex.i64s([-1]), ex.i64s([Number.MAX_SAFE_INTEGER])]);
  const root = ex.op("Sqrt", [ex.cast(last, "float32")]);
  const scale = ex.cast(ex.op("Div", [ex.constant("float32", [1], [1]), root]), "float32");
  const additive = mask?.kind === "causal" ? causalMask(ex, q, k) : additiveOf(ex, mask);
  const turned = ex.transpose(k, [0, 1, 3, 2]);
  const left = ex.op("Mul", [q, ex.op("Sqrt", [scale])]);
  const right = ex.op("Mul", [turned, ex.op("Sqrt", [scale])]);
  const product = ex.op("MatMul", [left, right]);
  const weights = ex.softmax(additive ? ex.op("Add", [product, additive]) : product);
  const guarded =
    mask?.kind === "boolean" && mask.guard
      ? ex.op("Where", [ex.op("IsNaN", [weights]), ex.constant("float32", [1], [0]), weights])
      : weights;
  return ex.op("MatMul", [guarded, v]);
}

function additiveOf(ex: Exporter, mask: SdpaMask | undefined): Value | undefined {
  if (mask?.kind === "additive") return mask.mask;
  if (mask?.kind !== "boolean") return undefined;
  const [zero, low] = [ex.constant("float32", [1], [0]), ex.constant("float32", [1], [-Infinity])];
  return ex.op("Where", [mask.mask, zero, low]);
}

/** The exporter's mask for `is_causal`: a lower triangle of ones of the sizes of q and k, ones to 0 and zeros to −∞. */
function causalMask(ex: Exporter, q: Value, k: Value): Value {
  const length = (x: Value): Value => ex.op("Slice", [ex.op("Shape", [x]), ex.i64s([-2]), ex.i64s([-1])]);
  const size = ex.concat([length(q), length(k)], 0);
  const square = ex.op("Expand", [ex.constant("float32", [1], [1]), size]);
  const triangle = ex.op("Trilu", [square], { upper: int(0) });
  const [zero, low] = [ex.constant("float32", [1], [0]), ex.constant("float32", [1], [-Infinity])];
  return ex.op("Where", [ex.op("Equal", [triangle, zero]), low, zero]);
}

/** Self-attention through `scaled_dot_product_attention` (U6), with BERT's module names. */
export function sdpaAttention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  { mask, name = "attention" }: { readonly mask?: SdpaMask | undefined; readonly name?: string } = {},
): Attended {
  const { width, heads, headDim, bias = true } = shape;
  return ex.within(name, () => {
    const names = ["self/query", "self/key", "self/value", "output/dense"] as const;
    const { q, k, v } = projectInputs(ex, x, x, shape, names, { bias });
    const merged = ex.within("self", () => {
      const [queries, keys, values] = [q, k, v].map(({ y }) => splitHeads(ex, y, heads, headDim));
      return mergeHeads(ex, scaledDotProduct(ex, queries!, keys!, values!, mask), heads * headDim);
    });
    const o = ex.linear("output/dense", merged, [heads * headDim, width], { bias });
    return { y: o.y, attention: expectation(ex, "U6", shape, { q, k, v, o }) };
  });
}

/** U6. */
export const sdpaPatterns: readonly Pattern[] = [
  pattern("U6", "SDPA", { opset: 14 }, {}, (ex, x, shape) => sdpaAttention(ex, x, shape)),
  pattern("U6", "SDPA with mask", { opset: 14 }, { mask: "padding" }, (ex, x, shape, mask) => {
    const additive = expandedMask(ex, mask!, ex.sizeOf(x, 1));
    return sdpaAttention(ex, x, shape, { mask: { kind: "additive", mask: additive } });
  }),
  pattern(
    "U6",
    "SDPA with boolean mask and guard",
    { opset: 17 },
    { mask: "padding" },
    (ex, x, shape, mask) => {
      const seen = ex.unsqueeze(ex.unsqueeze(ex.cast(mask!, "bool"), [1]), [2]);
      return sdpaAttention(ex, x, shape, { mask: { kind: "boolean", mask: seen, guard: true } });
    },
  ),
  pattern("U6", "SDPA causal", { opset: 14 }, { mask: "causal" }, (ex, x, shape) =>
    sdpaAttention(ex, x, shape, { mask: { kind: "causal" } }),
  ),
];
