import type { Value } from "@dgate/onnx";
import { type AttentionMath, type Pattern, pattern } from "./attention-block.ts";
import {
  type Attended,
  type AttentionShape,
  expectation,
  mergeHeads,
  projectInputs,
} from "./attention-parts.ts";
import { type SdpaMask, scaledDotProduct } from "./attention-sdpa.ts";
import type { Exporter } from "./exporter.ts";
import * as content from "./input-content.ts";
import { rmsNorm } from "./norms.ts";
import {
  type RotaryTables,
  rotaryBase,
  rotaryTables,
  rotaryTablesByEinsum,
  rotate,
  rotateInterleaved,
} from "./rotary.ts";

/** How `repeat_kv` gets its sizes: traced from the shape of the keys, or as constants beside batch and length. */
export type RepeatSizes = "traced" | "constant";

/**
 * `repeat_kv`: `[batch, kvHeads, length, d]` → `[batch, heads, length, d]`, each head `repeats` times in a row, by Unsqueeze, Expand
 * and Reshape.
 */
export function repeatHeads(
  ex: Exporter,
  x: Value,
  { kvHeads, repeats, headDim }: { kvHeads: number; repeats: number; headDim: number },
  sizes: RepeatSizes = "traced",
): Value {
  const [batch, length] = [ex.scalar(ex.sizeOf(x, 0)), ex.scalar(ex.sizeOf(x, 2))];
  const wide = ex.unsqueeze(x, [2]);
  if (sizes === "constant") {
    const spread = ex.expand(wide, [batch, kvHeads, repeats, length, headDim]);
    return ex.reshape(spread, [batch, kvHeads * repeats, length, headDim]);
  }
  const [count, features] = [ex.scalar(ex.sizeOf(x, 1)), ex.scalar(ex.sizeOf(x, 3))];
  const spread = ex.expand(wide, [batch, count, repeats, length, features]);
  return ex.reshape(spread, [batch, ex.op("Mul", [count, ex.i64(repeats)]), length, features]);
}

/** How a grouped-query layer is written. */
export interface GroupedOptions {
  readonly mask?: SdpaMask | undefined;
  /** The head count in the Reshapes: given, or −1 as `view(*shape, −1, head_dim)` leaves it. */
  readonly headCount?: "given" | "inferred";
  readonly sizes?: RepeatSizes;
  /** Rotates q and k `[batch, heads, length, headDim]`. */
  readonly rotary?: RotaryTables | undefined;
  /** RMSNorm of q and k behind the Reshape: `[headDim]`, or a weight for each head, `[heads, headDim]`. */
  readonly norm?: "per-feature" | "per-head" | undefined;
  /** What happens to keys and values before they are repeated: a cache. */
  readonly extend?: (key: Value, value: Value) => readonly [Value, Value];
  readonly name?: string;
  readonly pattern?: string;
}

/** Llama's attention: grouped queries (U11), rotary embedding (U12), QK-norm (U13), SDPA. Projections without biases by default. */
export function groupedAttention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  options: GroupedOptions = {},
): Attended {
  const { width, heads, headDim, kvHeads = heads, bias = false } = shape;
  const { headCount = "given", rotary, norm, extend, sizes, mask, name = "self_attn" } = options;
  return ex.within(name, () => {
    const names = ["q_proj", "k_proj", "v_proj", "o_proj"] as const;
    const { q, k, v } = projectInputs(ex, x, x, shape, names, { bias });
    const prepare = (value: Value, count: number, normName?: string): Value => {
      const head = headCount === "given" ? count : -1;
      const split = ex.reshape(value, [ex.sizeOf(x, 0), ex.sizeOf(x, 1), head, headDim]);
      const normed =
        norm && normName
          ? rmsNorm(ex, normName, split, norm === "per-head" ? [count, headDim] : [headDim])
          : split;
      return ex.transpose(normed, [0, 2, 1, 3]);
    };
    const turn = (value: Value): Value => (rotary ? rotate(ex, value, rotary) : value);
    const query = turn(prepare(q.y, heads, "q_norm"));
    const own = [turn(prepare(k.y, kvHeads, "k_norm")), prepare(v.y, kvHeads)] as const;
    const [key, value] = extend ? extend(...own) : own;
    const repeats = heads / kvHeads;
    const [keys, values] = [key, value].map((part) =>
      repeats > 1 ? repeatHeads(ex, part, { kvHeads, repeats, headDim }, sizes) : part,
    );
    const context = scaledDotProduct(ex, query, keys!, values!, mask);
    const o = ex.linear("o_proj", mergeHeads(ex, context, heads * headDim), [heads * headDim, width], {
      bias,
    });
    return { y: o.y, attention: expectation(ex, options.pattern ?? "U11", shape, { q, k, v, o }) };
  });
}

/** GPT-J's attention (U12, interleaved): rotated before the heads move to the front; eager, without biases. */
export function gptjAttention(ex: Exporter, x: Value, shape: AttentionShape, positionIds: Value): Attended {
  const { width, heads, headDim } = shape;
  return ex.within("attn", () => {
    const names = ["q_proj", "k_proj", "v_proj", "out_proj"] as const;
    const { q, k, v } = projectInputs(ex, x, x, shape, names, { bias: false });
    const split = (value: Value): Value =>
      ex.reshape(value, [ex.sizeOf(value, 0), ex.sizeOf(value, 1), heads, headDim]);
    const [queries, keys] = [q, k].map(({ y }) =>
      ex.transpose(rotateInterleaved(ex, split(y), positionIds, headDim), [0, 2, 1, 3]),
    );
    const values = ex.transpose(split(v.y), [0, 2, 1, 3]);
    const product = ex.op("MatMul", [queries!, ex.transpose(keys!, [0, 1, 3, 2])]);
    const weights = ex.softmax(ex.op("Div", [product, ex.f32(Math.sqrt(headDim))]));
    const merged = mergeHeads(ex, ex.op("MatMul", [weights, values]), heads * headDim);
    const o = ex.linear("out_proj", merged, [heads * headDim, width], { bias: false });
    return { y: o.y, attention: expectation(ex, "U12", shape, { q, k, v, o }) };
  });
}

const halves = { rotary: { interleaved: false, base: rotaryBase } } as const;
const neighbours = { rotary: { interleaved: true, base: rotaryBase } } as const;
const normalized = {
  normalized: { query: "self_attn.q_norm.weight", key: "self_attn.k_norm.weight", epsilon: 1e-6 },
} as const;
const causal: AttentionMath = { mask: "causal" };
const sees = { kind: "causal" } as const;

const ids = (ex: Exporter): Value =>
  ex.input("position_ids", ["batch_size", "sequence_length"], content.positions());

/** U11 to U13. */
export const groupedPatterns: readonly Pattern[] = [
  pattern("U11", "GQA, traced sizes", { opset: 14, kvHeads: 2 }, causal, (ex, x, shape) =>
    groupedAttention(ex, x, shape, { mask: sees }),
  ),
  pattern("U11", "GQA, constant sizes", { opset: 14, kvHeads: 2 }, causal, (ex, x, shape) =>
    groupedAttention(ex, x, shape, { mask: sees, sizes: "constant" }),
  ),
  pattern("U11", "GQA, head counts as −1", { opset: 17, kvHeads: 2 }, {}, (ex, x, shape) =>
    groupedAttention(ex, x, shape, { headCount: "inferred" }),
  ),
  pattern("U11", "multi-query, traced sizes", { opset: 14, kvHeads: 1 }, causal, (ex, x, shape) =>
    groupedAttention(ex, x, shape, { mask: sees }),
  ),
  pattern("U12", "RoPE, MatMul", { opset: 14 }, halves, (ex, x, shape) => {
    const rotary = rotaryTables(ex, ids(ex), shape.headDim);
    return groupedAttention(ex, x, shape, { rotary, pattern: "U12" });
  }),
  pattern("U12", "RoPE, Einsum and table, GQA", { opset: 14, kvHeads: 2 }, halves, (ex, x, shape) => {
    const rotary = rotaryTablesByEinsum(ex, ids(ex), shape.headDim);
    return groupedAttention(ex, x, shape, { rotary, pattern: "U12" });
  }),
  pattern("U12", "RoPE, interleaved", { opset: 13 }, neighbours, (ex, x, shape) =>
    gptjAttention(ex, x, shape, ids(ex)),
  ),
  pattern("U13", "QK-norm", { opset: 17 }, { ...halves, ...normalized }, (ex, x, shape) => {
    const rotary = rotaryTables(ex, ids(ex), shape.headDim);
    return groupedAttention(ex, x, shape, { rotary, norm: "per-feature", pattern: "U13" });
  }),
  pattern(
    "U13",
    "QK-norm with a weight per head, GQA",
    { opset: 17, kvHeads: 2 },
    normalized,
    (ex, x, shape) => groupedAttention(ex, x, shape, { norm: "per-head", pattern: "U13" }),
  ),
];
