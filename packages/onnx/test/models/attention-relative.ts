import { tensor, tensorOf, type Value } from "@dgate/onnx";
import { type AttentionMath, type Pattern, pattern } from "./attention-block.ts";
import { type AttentionShape, expectation } from "./attention-parts.ts";
import { type CachedLayer, extendCache, type Memory } from "./cache.ts";
import type { Exporter, Size } from "./exporter.ts";
import type { Linear } from "./graph-writer.ts";
import { extendedMask, lowest, rangeMask } from "./masks.ts";

/** T5's buckets of relative positions, small enough that short test sequences reach the logarithmic ones. */
export const buckets = { count: 8, maxDistance: 12 } as const;

/** The bucket of each relative position (key − query), int64 of the same shape; `bidirectional` in encoders. */
function relativeBucket(ex: Exporter, distance: Value, bidirectional: boolean): Value {
  const count = bidirectional ? buckets.count / 2 : buckets.count;
  const exact = count / 2;
  const reach = bidirectional
    ? ex.op("Abs", [distance])
    : ex.op("Neg", [ex.op("Min", [distance, zerosLike(ex, distance)])]);
  const small = ex.op("Less", [reach, ex.i64(exact)]);
  const ratio = ex.op("Log", [ex.op("Div", [ex.cast(reach, "float32"), ex.f32(exact)])]);
  const share = ex.op("Div", [ratio, ex.f32(Math.log(buckets.maxDistance / exact))]);
  const steps = ex.cast(ex.op("Mul", [share, ex.f32(count - exact)]), "int64");
  const large = ex.op("Add", [steps, ex.i64(exact)]);
  const capped = ex.op("Min", [large, fullLike(ex, large, count - 1)]);
  const bucket = ex.op("Where", [small, reach, capped]);
  if (!bidirectional) return bucket;
  const later = ex.cast(ex.op("Greater", [distance, ex.i64(0)]), "int64");
  return ex.op("Add", [ex.op("Mul", [later, ex.i64(count)]), bucket]);
}

const zerosLike = (ex: Exporter, x: Value): Value => fullLike(ex, x, 0);

function fullLike(ex: Exporter, x: Value, value: number): Value {
  return ex.op("ConstantOfShape", [ex.op("Shape", [x])], { value: tensor(tensorOf("int64", [1], [value])) });
}

/**
 * T5's position bias `[1, heads, queries, keys]`: an embedding `[buckets, heads]` looked up by the bucket of each distance. With a
 * past the queries are the last of the keys.
 */
export function relativePositionBias(
  ex: Exporter,
  heads: number,
  {
    queries,
    keys,
    bidirectional,
  }: { readonly queries: Size; readonly keys: Size; readonly bidirectional: boolean },
): Value {
  const range = (size: Size): Value => ex.op("Range", [ex.i64(0), ex.scalar(size), ex.i64(1)]);
  const rows = ex.unsqueeze(range(queries), [1]);
  const columns = ex.unsqueeze(range(keys), [0]);
  const bucket = relativeBucket(ex, ex.op("Sub", [columns, rows]), bidirectional);
  const table = ex.within("relative_attention_bias", () => ex.weight("weight", [buckets.count, heads]));
  return ex.unsqueeze(ex.transpose(ex.gather(table, bucket), [2, 0, 1]), [0]);
}

/** What a T5 layer attends to. */
export interface T5AttentionOptions extends Memory {
  /** Position bias and mask, added to the scores: `[batch or 1, heads, queries, keys]`. */
  readonly bias: Value | undefined;
  readonly context?: Value;
  readonly name?: string;
}

/** T5's attention (U9): no biases in the projections, no scale, one Add of position bias and mask. */
export function t5Attention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  { bias, context = x, past, fixed, name = "SelfAttention" }: T5AttentionOptions,
): CachedLayer {
  const { width, heads, headDim } = shape;
  const inner = heads * headDim;
  return ex.within(name, () => {
    const batch = ex.scalar(ex.sizeOf(x, 0));
    const split = ({ y }: Linear): Value =>
      ex.transpose(ex.reshape(y, [batch, -1, heads, headDim]), [0, 2, 1, 3]);
    const project = (part: string, from: Value): Linear =>
      ex.linear(part, from, [width, inner], { bias: false });
    const q = project("q", x);
    const queries = split(q);
    const k = fixed ? undefined : project("k", context);
    const v = fixed ? undefined : project("v", context);
    const present = k && v ? extendCache(ex, past, split(k), split(v)) : fixed!;
    const product = ex.op("MatMul", [queries, ex.transpose(present.key, [0, 1, 3, 2])]);
    const weights = ex.softmax(bias ? ex.op("Add", [product, bias]) : product);
    const turned = ex.transpose(ex.op("MatMul", [weights, present.value]), [0, 2, 1, 3]);
    const merged = ex.reshape(turned, [batch, -1, inner]);
    const o = ex.linear("o", merged, [inner, width], { bias: false });
    return { y: o.y, attention: expectation(ex, "U9", shape, { q, k, v, o }, 1), present };
  });
}

const tableName = "relative_attention_bias.weight";

/** The same buckets by their definition, on plain numbers (Raffel et al. 2020, appendix of the reference implementation). */
function bucketOf(distance: number, bidirectional: boolean): number {
  const count = bidirectional ? buckets.count / 2 : buckets.count;
  const reach = bidirectional ? Math.abs(distance) : Math.max(0, -distance);
  const side = bidirectional && distance > 0 ? count : 0;
  const exact = count / 2;
  if (reach < exact) return side + reach;
  const log = (count - exact) * (Math.log(reach / exact) / Math.log(buckets.maxDistance / exact));
  return side + Math.min(count - 1, exact + Math.floor(log));
}

const t5Math =
  (bidirectional: boolean, mask: AttentionMath["mask"]) =>
  ({ heads }: AttentionShape): AttentionMath => ({
    ...(mask && { mask }),
    bias: (numbers) => {
      const table = numbers(tableName);
      return (head, query, key) => table[bucketOf(key - query, bidirectional) * heads + head]!;
    },
  });

/** U9. */
export const relativePatterns: readonly Pattern[] = [
  pattern("U9", "T5 encoder", { opset: 13 }, t5Math(true, "padding"), (ex, x, shape, mask) => {
    const size = ex.sizeOf(x, 1);
    const places = { queries: size, keys: size, bidirectional: true };
    const bias = ex.op("Add", [
      relativePositionBias(ex, shape.heads, places),
      extendedMask(ex, mask!, lowest),
    ]);
    return t5Attention(ex, x, shape, { bias });
  }),
  pattern("U9", "T5 decoder, one-sided", { opset: 13 }, t5Math(false, "causal"), (ex, x, shape) => {
    const size = ex.scalar(ex.sizeOf(x, 1));
    const places = { queries: size, keys: size, bidirectional: false };
    const bias = ex.op("Add", [relativePositionBias(ex, shape.heads, places), rangeMask(ex, size)]);
    return t5Attention(ex, x, shape, { bias });
  }),
];
