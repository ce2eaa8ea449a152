import type { Value } from "@dgate/onnx";
import { groupedCachedAttention } from "./attention-cached.ts";
import type { RepeatSizes } from "./attention-grouped.ts";
import type { AttentionShape } from "./attention-parts.ts";
import type { LayerCache } from "./cache.ts";
import { type CacheOptions, type DecoderBody, type DecoderInputs, decoderModel } from "./decoder.ts";
import { embed } from "./embeddings.ts";
import { Exporter, type ExporterOptions } from "./exporter.ts";
import { feedForward } from "./feed-forward.ts";
import { causalPaddingMask } from "./masks.ts";
import { rmsNorm } from "./norms.ts";
import { rotaryTables } from "./rotary.ts";
import type { AttentionExpectation, TransformerModel } from "./transformer-model.ts";

/** Options of `llama`. */
export interface LlamaOptions extends ExporterOptions, CacheOptions {
  readonly layers?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly headDim?: number;
  readonly hidden?: number;
  readonly vocabulary?: number;
  /** RMSNorm of q and k, as in Qwen3. */
  readonly norm?: "per-feature" | undefined;
  /** Whether the attention projections have biases. */
  readonly bias?: boolean;
  readonly headCount?: "given" | "inferred";
  readonly sizes?: RepeatSizes;
}

/** Llama (optimum): RMSNorm, grouped queries with repeat_kv, rotary embedding, SDPA with an additive mask, SwiGLU. */
export function llama(options: LlamaOptions = {}): TransformerModel {
  const { layers = 2, heads = 4, kvHeads = 2, headDim = 4, vocabulary = 31, bias = false } = options;
  const shape = { width: heads * headDim, heads, kvHeads, headDim, bias };
  const ex = new Exporter({ opset: 14, ...options });
  const sizes = { layers, shape: { heads: kvHeads, headDim }, vocabulary };
  return decoderModel(ex, options, sizes, (writer, inputs) => llamaBody(writer, inputs, shape, options));
}

function llamaBody(
  ex: Exporter,
  { ids, mask, pasts }: DecoderInputs,
  shape: AttentionShape,
  options: LlamaOptions,
): DecoderBody {
  const { vocabulary = 31, hidden = 24, norm, headCount, sizes } = options;
  const { width, headDim } = shape;
  const attention: AttentionExpectation[] = [];
  const presents: LayerCache[] = [];
  const y = ex.within("model", () => {
    let x = embed(ex, "embed_tokens", ids, [vocabulary, width]);
    const queries = ex.scalar(ex.sizeOf(ids, 1));
    const past = pasts[0] && ex.scalar(ex.sizeOf(pasts[0].key, 2));
    const additive = causalPaddingMask(ex, mask, queries, past);
    const rotary = rotaryTables(ex, placesOf(ex, queries, past), headDim);
    const given = {
      rotary,
      mask: { kind: "additive", mask: additive } as const,
      ...(norm && { norm }),
      ...(headCount && { headCount }),
      ...(sizes && { sizes }),
    };
    pasts.forEach((cache, i) => {
      const layer = ex.within(`layers.${i}`, () => {
        const normed = rmsNorm(ex, "input_layernorm", x, [width]);
        const attended = groupedCachedAttention(ex, normed, shape, { past: cache, ...given });
        const middle = ex.op("Add", [x, attended.y]);
        return { ...attended, y: ex.op("Add", [middle, swiglu(ex, middle, [width, hidden])]) };
      });
      x = layer.y;
      attention.push(layer.attention);
      presents.push(layer.present);
    });
    return rmsNorm(ex, "norm", x, [width]);
  });
  const { y: logits } = ex.linear("lm_head", y, [width, vocabulary], { bias: false });
  return { logits, presents, attention };
}

const swiglu = (ex: Exporter, x: Value, [width, hidden]: readonly [number, number]): Value => {
  const normed = rmsNorm(ex, "post_attention_layernorm", x, [width]);
  const names = { up: "up_proj", down: "down_proj", gate: "gate_proj" };
  return ex.within("mlp", () => feedForward(ex, normed, [width, hidden], "swiglu", names, false));
};

/** `cache_position` unsqueezed: `[1, queries]`, counting from the length of the past. */
function placesOf(ex: Exporter, queries: Value, past: Value | undefined): Value {
  const start = past ?? ex.i64(0);
  const end = past ? ex.op("Add", [past, queries]) : queries;
  return ex.unsqueeze(ex.op("Range", [start, end, ex.i64(1)]), [0]);
}
