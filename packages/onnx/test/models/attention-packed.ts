import { float, type Value } from "@dgate/onnx";
import { type AttentionMath, type Pattern, pattern } from "./attention-block.ts";
import { causalWeights } from "./attention-eager.ts";
import {
  type Attended,
  type AttentionShape,
  inputsOf,
  mergeHeads,
  outputsOf,
  splitHeads,
} from "./attention-parts.ts";
import type { Exporter } from "./exporter.ts";
import type { Linear } from "./graph-writer.ts";
import { extendedMask, lowest } from "./masks.ts";
import type { AttentionExpectation } from "./transformer-model.ts";

/** Where the three parts of a packed projection lie: first feature and distance of heads, by query, key and value. */
interface Packing {
  readonly starts: readonly [number, number, number];
  readonly headStride: number;
}

/** All heads' queries, then all keys, then all values. */
const sideBySide = ({ heads, headDim }: AttentionShape): Packing => {
  const inner = heads * headDim;
  return { starts: [0, inner, 2 * inner], headStride: headDim };
};

/** Each head's query, key and value together. */
const headByHead = ({ headDim }: AttentionShape): Packing => {
  return { starts: [0, headDim, 2 * headDim], headStride: 3 * headDim };
};

function packedExpectation(
  ex: Exporter,
  { heads, headDim, kvHeads = heads }: AttentionShape,
  { qkv, o }: { readonly qkv: Linear; readonly o: Linear },
  { starts, headStride }: Packing,
): AttentionExpectation {
  const [query, key, value] = starts.map((start) => ({ ...outputsOf(qkv, headDim, start), headStride }));
  const output = inputsOf(o, headDim);
  const scale = 1 / Math.sqrt(headDim);
  const sizes = { heads, kvHeads, headDim, scale };
  return { pattern: "U10", name: ex.scope, ...sizes, query: query!, key: key!, value: value!, output };
}

/** GPT-2's Conv1D: tokens as rows, one Gemm with the weight `[inputs, outputs]`, and the sizes put back. */
export function conv1d(
  ex: Exporter,
  name: string,
  x: Value,
  [inputs, outputs]: readonly [number, number],
): Linear {
  return ex.within(name, () => {
    const target = ex.sizes([ex.sizeOf(x, 0), ex.sizeOf(x, 1), outputs]);
    const rows = ex.reshape(x, [-1, ex.sizeOf(x, 2)]);
    const w = ex.weight("weight", [inputs, outputs], { scale: 1 / Math.sqrt(inputs) });
    const b = ex.weight("bias", [outputs]);
    const gemm = { alpha: float(1), beta: float(1) };
    const product = ex.op("Gemm", [rows, w, b], gemm);
    return { y: ex.op("Reshape", [product, target]), weight: w.name, bias: b.name };
  });
}

/** Queries, keys and values `[batch, heads, length, headDim]` of a GPT-2 layer: Conv1D, Split on the last axis, split into heads. */
export function gpt2Projection(
  ex: Exporter,
  x: Value,
  { width, heads, headDim }: AttentionShape,
): { qkv: Linear; parts: [Value, Value, Value] } {
  const inner = heads * headDim;
  const qkv = conv1d(ex, "c_attn", x, [width, 3 * inner]);
  const [q, k, v] = ex
    .split(qkv.y, [inner, inner, inner], 2)
    .map((part) => splitHeads(ex, part, heads, headDim));
  return { qkv, parts: [q!, k!, v!] };
}

/** The rest of a GPT-2 layer: causal weights, context, merged heads, output Conv1D. */
export function gpt2Context(
  ex: Exporter,
  qkv: Linear,
  [q, k, v]: readonly [Value, Value, Value],
  shape: AttentionShape,
  mask?: Value,
): Attended {
  const weights = causalWeights(ex, q, k, shape.headDim, { mask });
  const merged = mergeHeads(ex, ex.op("MatMul", [weights, v]), shape.heads * shape.headDim);
  const o = conv1d(ex, "c_proj", merged, [shape.heads * shape.headDim, shape.width]);
  return { y: o.y, attention: packedExpectation(ex, shape, { qkv, o }, sideBySide(shape)) };
}

/** GPT-2's attention without a cache: Conv1D (Reshape, Gemm, Reshape) and Split. */
export function gpt2Attention(ex: Exporter, x: Value, shape: AttentionShape, mask?: Value): Attended {
  return ex.within("attn", () => {
    const { qkv, parts } = gpt2Projection(ex, x, shape);
    return gpt2Context(ex, qkv, parts, shape, mask);
  });
}

/** nanoGPT's attention: one linear layer, Split in three, whatever `attend` makes of them, merged heads, output layer. */
export function packedAttentionOf(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  attend: (parts: readonly Value[]) => Value,
): Attended {
  const { width, heads, headDim, bias = true } = shape;
  const inner = heads * headDim;
  return ex.within("attn", () => {
    const qkv = ex.linear("c_attn", x, [width, 3 * inner], { bias });
    const context = attend(ex.split(qkv.y, [inner, inner, inner], 2));
    const o = ex.linear("c_proj", mergeHeads(ex, context, inner), [inner, width], { bias });
    return { y: o.y, attention: packedExpectation(ex, shape, { qkv, o }, sideBySide(shape)) };
  });
}

/** How timm takes q, k and v out of `[3, batch, heads, length, headDim]`: by index, or by unbind (Split and Squeeze). */
export type TimmSelection = "gather" | "unbind";

/** timm's ViT attention: one MatMul and Add, Reshape `[B, N, 3, H, d]`, Transpose `[3, B, H, N, d]`, Gather 0, 1, 2. */
export function timmAttention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  { select = "gather" }: { readonly select?: TimmSelection } = {},
): Attended {
  const { width, heads, headDim, bias = true } = shape;
  return ex.within("attn", () => {
    const qkv = ex.linear("qkv", x, [width, 3 * heads * headDim], { bias });
    const [batch, length] = [ex.scalar(ex.sizeOf(x, 0)), ex.scalar(ex.sizeOf(x, 1))];
    const turned = ex.transpose(ex.reshape(qkv.y, [batch, length, 3, heads, headDim]), [2, 0, 3, 1, 4]);
    const parts =
      select === "gather"
        ? [0, 1, 2].map((i) => ex.gather(turned, ex.i64(i), 0))
        : ex.split(turned, [1, 1, 1], 0).map((part) => ex.squeeze(part, [0]));
    const [q, k, v] = parts;
    const scaled = ex.op("Mul", [q!, ex.f32(1 / Math.sqrt(headDim))]);
    const weights = ex.softmax(ex.op("MatMul", [scaled, ex.transpose(k!, [0, 1, 3, 2])]));
    const context = ex.transpose(ex.op("MatMul", [weights, v!]), [0, 2, 1, 3]);
    const merged = ex.reshape(context, [batch, length, heads * headDim]);
    const o = ex.linear("proj", merged, [heads * headDim, width], { bias });
    return { y: o.y, attention: packedExpectation(ex, shape, { qkv, o }, sideBySide(shape)) };
  });
}

/**
 * `in_proj` and `chunk(3, −1)` where the exporter does not know the size: each third is a Slice whose bounds are multiples of
 * (size + 2) / 3, computed from the shape.
 */
export function slicedAttention(ex: Exporter, x: Value, shape: AttentionShape): Attended {
  const { width, heads, headDim } = shape;
  return ex.within("self_attn", () => {
    const qkv = ex.linear("in_proj", x, [width, 3 * heads * headDim]);
    const size = ex.gather(ex.op("Shape", [qkv.y]), ex.i64s([-1]), 0);
    const third = ex.op("Div", [ex.op("Add", [size, ex.i64s([2])]), ex.i64s([3])]);
    const bound = (i: number): Value => (i === 0 ? ex.i64s([0]) : ex.op("Mul", [third, ex.i64s([i])]));
    const [q, k, v] = [0, 1, 2].map((i) => {
      const part = ex.op("Slice", [qkv.y, bound(i), bound(i + 1), ex.i64s([2])]);
      return splitHeads(ex, part, heads, headDim);
    });
    const product = ex.op("MatMul", [q!, ex.transpose(k!, [0, 1, 3, 2])]);
    const weights = ex.softmax(ex.op("Div", [product, ex.f32(Math.sqrt(headDim))]));
    const merged = mergeHeads(ex, ex.op("MatMul", [weights, v!]), heads * headDim);
    const o = ex.linear("out_proj", merged, [heads * headDim, width]);
    return { y: o.y, attention: packedExpectation(ex, shape, { qkv, o }, sideBySide(shape)) };
  });
}

/** torch's `nn.MultiheadAttention`: sequence first, heads and batch folded together as `[T, B·H, d]`, one in_proj and Split. */
export function multiheadAttention(ex: Exporter, x: Value, shape: AttentionShape): Attended {
  const { width, heads, headDim } = shape;
  const inner = heads * headDim;
  return ex.within("self_attn", () => {
    const first = ex.transpose(x, [1, 0, 2]);
    const [length, batch] = [ex.scalar(ex.sizeOf(first, 0)), ex.scalar(ex.sizeOf(first, 1))];
    const qkv = ex.linear("in_proj", first, [width, 3 * inner]);
    const [q, k, v] = ex.split(qkv.y, [inner, inner, inner], 2);
    const fold = (part: Value, size: Value | number): Value =>
      ex.reshape(part, [size, ex.op("Mul", [batch, ex.i64(heads)]), headDim]);
    const scaled = ex.op("Mul", [q!, ex.f32(1 / Math.sqrt(headDim))]);
    const queries = ex.transpose(fold(scaled, length), [1, 0, 2]);
    const [keys, values] = [fold(k!, -1), ex.transpose(fold(v!, -1), [1, 0, 2])];
    const weights = ex.softmax(ex.op("MatMul", [queries, ex.transpose(keys, [1, 2, 0])]), 3);
    const context = ex.transpose(ex.op("MatMul", [weights, values]), [1, 0, 2]);
    const merged = ex.reshape(context, [length, batch, inner]);
    const o = ex.linear("out_proj", merged, [inner, width]);
    const attention = packedExpectation(ex, shape, { qkv, o }, sideBySide(shape));
    return { y: ex.transpose(o.y, [1, 0, 2]), attention };
  });
}

/** ALiBi slopes 2^(−8i/heads), i from 1 (Press et al. 2022), the constant of BLOOM's models. */
const alibiSlopes = (heads: number): number[] =>
  Array.from({ length: heads }, (_, i) => 2 ** ((-8 * (i + 1)) / heads));

/** BLOOM's ALiBi `[batch·heads, 1, keys]`: slopes times the running count of visible tokens. */
function alibi(ex: Exporter, mask: Value, heads: number): Value {
  const counted = ex.op("Sub", [ex.op("CumSum", [mask, ex.i64(-1)]), ex.i64(1)]);
  const place = ex.unsqueeze(ex.op("Mul", [counted, mask]), [1]);
  const slopes = ex.unsqueeze(ex.constant("float32", [heads], alibiSlopes(heads)), [1]);
  const rows = ex.op("Mul", [slopes, ex.cast(place, "float32")]);
  return ex.reshape(rows, [
    ex.op("Mul", [ex.scalar(ex.sizeOf(mask, 0)), ex.i64(heads)]),
    1,
    ex.sizeOf(mask, 1),
  ]);
}

/**
 * BLOOM: the packed projection holds q, k and v head by head, `[B, T, H, 3, d]`; heads are folded into the batch, ALiBi and the scaled
 * product are added (baddbmm), padding is filled by Where.
 */
export function bloomAttention(ex: Exporter, x: Value, shape: AttentionShape, mask: Value): Attended {
  const { width, heads, headDim } = shape;
  return ex.within("self_attention", () => {
    const bias = alibi(ex, mask, heads);
    const qkv = ex.linear("query_key_value", x, [width, 3 * heads * headDim]);
    const [batch, length] = [ex.scalar(ex.sizeOf(qkv.y, 0)), ex.scalar(ex.sizeOf(qkv.y, 1))];
    const fused = ex.reshape(qkv.y, [batch, length, heads, 3, headDim]);
    const [q, k, v] = [0, 1, 2].map((i) => ex.gather(fused, ex.i64(i), 3));
    const folded = (): Value => ex.op("Mul", [batch, ex.i64(heads)]);
    const queries = ex.reshape(ex.transpose(q!, [0, 2, 1, 3]), [folded(), length, headDim]);
    const keys = ex.reshape(ex.transpose(k!, [0, 2, 3, 1]), [folded(), headDim, length]);
    const values = ex.reshape(ex.transpose(v!, [0, 2, 1, 3]), [folded(), length, headDim]);
    const product = ex.op("Mul", [ex.op("MatMul", [queries, keys]), ex.f32(1 / Math.sqrt(headDim))]);
    const scores = ex.reshape(ex.op("Add", [bias, product]), [batch, heads, length, -1]);
    const padded = ex.op("Not", [ex.unsqueeze(ex.unsqueeze(ex.cast(mask, "bool"), [1]), [2])]);
    const weights = ex.softmax(ex.op("Where", [padded, ex.f32(lowest), scores]));
    const context = ex.op("MatMul", [ex.reshape(weights, [folded(), length, -1]), values]);
    const split = ex.reshape(context, [batch, heads, length, headDim]);
    const merged = ex.reshape(ex.transpose(split, [0, 2, 1, 3]), [batch, length, heads * headDim]);
    const o = ex.linear("dense", merged, [heads * headDim, width]);
    return { y: o.y, attention: packedExpectation(ex, shape, { qkv, o }, headByHead(shape)) };
  });
}

/**
 * Falcon with one key and value head: a packed projection of `heads + 2` heads, cut along the head axis; the one key head is
 * broadcast by MatMul.
 */
export function multiQueryAttention(ex: Exporter, x: Value, shape: AttentionShape): Attended {
  const { width, heads, headDim } = shape;
  return ex.within("self_attention", () => {
    const qkv = ex.linear("query_key_value", x, [width, (heads + 2) * headDim], { bias: false });
    const size = [ex.sizeOf(qkv.y, 0), ex.sizeOf(qkv.y, 1), heads + 2, headDim];
    const fused = ex.reshape(qkv.y, size);
    const cut = (from: number, to: number | undefined): Value =>
      ex.transpose(ex.slice(fused, from, to, 2), [0, 2, 1, 3]);
    const [q, k, v] = [cut(0, -2), cut(-2, -1), cut(-1, undefined)];
    const product = ex.op("MatMul", [q, ex.transpose(k, [0, 1, 3, 2])]);
    const weights = ex.softmax(ex.op("Div", [product, ex.f32(Math.sqrt(headDim))]));
    const merged = mergeHeads(ex, ex.op("MatMul", [weights, v]), heads * headDim);
    const o = ex.linear("dense", merged, [heads * headDim, width], { bias: false });
    const starts = [0, heads * headDim, (heads + 1) * headDim] as const;
    const packing = { starts, headStride: headDim };
    const attention = packedExpectation(ex, { ...shape, kvHeads: 1 }, { qkv, o }, packing);
    return { y: o.y, attention };
  });
}

const alibiMath = ({ heads }: AttentionShape): AttentionMath => ({
  mask: "padding",
  bias: () => (head, _, key) => alibiSlopes(heads)[head]! * key,
});

/** U10. */
export const packedPatterns: readonly Pattern[] = [
  pattern("U10", "GPT-2, Gemm and Split", { opset: 11 }, { mask: "causal-padding" }, (ex, x, shape, mask) =>
    gpt2Attention(ex, x, shape, extendedMask(ex, mask!)),
  ),
  pattern("U10", "timm, Gather", { opset: 12 }, {}, (ex, x, shape) => timmAttention(ex, x, shape)),
  pattern("U10", "timm, unbind", { opset: 17 }, {}, (ex, x, shape) =>
    timmAttention(ex, x, shape, { select: "unbind" }),
  ),
  pattern("U10", "Slice with computed bounds", { opset: 12 }, {}, slicedAttention),
  pattern("U10", "nn.MultiheadAttention, sequence first", { opset: 12 }, {}, multiheadAttention),
  pattern("U10", "BLOOM, head by head, ALiBi", { opset: 13 }, alibiMath, (ex, x, shape, mask) =>
    bloomAttention(ex, x, shape, mask!),
  ),
  pattern("U10", "Falcon multi-query", { opset: 14, kvHeads: 1 }, {}, multiQueryAttention),
];
