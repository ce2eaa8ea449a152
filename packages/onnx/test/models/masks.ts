import { int, tensor, tensorOf, type Value } from "@dgate/onnx";
import type { Exporter, Size } from "./exporter.ts";

/** The lowest float32, which torch takes for "masked". */
export const lowest = -3.4028234663852886e38;

/** BERT's mask `(1 − mask)·low`, `[batch, 1, 1, keys]`; low is −10000 in old exports, the lowest float in newer ones. */
export function extendedMask(ex: Exporter, mask: Value, low = -10000): Value {
  const wide = ex.unsqueeze(ex.unsqueeze(mask, [1]), [2]);
  return ex.op("Mul", [ex.op("Sub", [ex.f32(1), ex.cast(wide, "float32")]), ex.f32(low)]);
}

/**
 * `AttentionMaskConverter._expand_mask`: `[batch, keys]` expanded to `[batch, 1, queries, keys]`, inverted, and filled with the
 * lowest float where it is not zero.
 */
export function expandedMask(ex: Exporter, mask: Value, queries: Size): Value {
  const wide = ex.unsqueeze(ex.unsqueeze(mask, [1]), [2]);
  const spread = ex.expand(wide, [ex.sizeOf(mask, 0), 1, queries, ex.sizeOf(mask, 1)]);
  const inverted = ex.op("Sub", [ex.f32(1), ex.cast(spread, "float32")]);
  return ex.op("Where", [ex.cast(inverted, "bool"), ex.f32(lowest), inverted]);
}

/**
 * A causal mask `[1, 1, queries, past + queries]` made at run time: a full square of the lowest float, of which Trilu keeps what
 * lies above the diagonal (the form of newer exports), 0 elsewhere.
 */
export function triangularMask(ex: Exporter, queries: Value, keys: Value): Value {
  const past = ex.op("Sub", [keys, queries]);
  const full = ex.op("Expand", [ex.f32(lowest), ex.sizes([queries, keys])]);
  const above = ex.op("Trilu", [full, ex.op("Add", [past, ex.i64(1)])], { upper: int(1) });
  return ex.unsqueeze(ex.unsqueeze(above, [0]), [1]);
}

/**
 * A causal mask `[queries, queries]` in the form of `_make_causal_mask`: ConstantOfShape with the lowest float, and Where with a
 * comparison of two Range vectors.
 */
export function rangeMask(ex: Exporter, queries: Value): Value {
  const low = { value: tensor(tensorOf("float32", [1], [lowest])) };
  const square = ex.op("ConstantOfShape", [ex.sizes([queries, queries])], low);
  const range = ex.op("Range", [ex.i64(0), queries, ex.i64(1)]);
  const rows = ex.reshape(ex.op("Add", [range, ex.i64(1)]), [queries, 1]);
  const seen = ex.op("Less", [range, rows]);
  const mask = ex.op("Where", [seen, ex.f32(0), square]);
  return ex.unsqueeze(ex.unsqueeze(mask, [0]), [1]);
}

/** A triangle of ones `[1, 1, size, size]` of bool or uint8, the buffer `bias` of GPT-2's attention. */
export function triangleBuffer(ex: Exporter, name: string, size: number, dtype: "bool" | "uint8"): Value {
  return ex.buffer(name, () => {
    const ones = Array.from({ length: size * size }, (_, i) => (i % size <= Math.floor(i / size) ? 1 : 0));
    return tensorOf(dtype, [1, 1, size, size], ones);
  });
}

/**
 * Llama's mask in HF transformers 4.36 to 4.38, `[batch, 1, queries, keys]`: a triangle of the lowest float with a block of zeros for
 * the past in front, expanded over the batch; the expanded padding mask where it is 0, the lowest float elsewhere.
 *
 * @param mask `[batch, keys]` of 0 and 1
 */
export function causalPaddingMask(ex: Exporter, mask: Value, queries: Value, past: Value | undefined): Value {
  const padding = expandedMask(ex, mask, queries);
  const low = { value: tensor(tensorOf("float32", [1], [lowest])) };
  const zero = { value: tensor(tensorOf("float32", [1], [0])) };
  const square = ex.op("ConstantOfShape", [ex.sizes([queries, queries])], low);
  const range = ex.op("Range", [ex.i64(0), queries, ex.i64(1)]);
  const rows = ex.reshape(ex.op("Add", [range, ex.i64(1)]), [queries, 1]);
  const triangle = ex.op("Where", [ex.op("Less", [range, rows]), ex.f32(0), square]);
  const front = past && ex.op("ConstantOfShape", [ex.sizes([queries, past])], zero);
  const causal = front ? ex.concat([front, triangle], -1) : triangle;
  const wide = ex.unsqueeze(ex.unsqueeze(causal, [0]), [1]);
  const keys = past ? ex.op("Add", [queries, past]) : queries;
  const spread = ex.expand(wide, [ex.sizeOf(mask, 0), 1, queries, keys]);
  return ex.op("Where", [ex.cast(spread, "bool"), ex.f32(lowest), padding]);
}
