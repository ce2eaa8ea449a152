import type { Value } from "@dgate/onnx";
import { foldedAttention } from "./attention-folded.ts";
import { splitHeads } from "./attention-parts.ts";
import { packedAttentionOf } from "./attention-packed.ts";
import { scaledDotProduct } from "./attention-sdpa.ts";
import type { LayerCache } from "./cache.ts";
import { type CacheOptions, decoderModel } from "./decoder.ts";
import { embed } from "./embeddings.ts";
import { stack } from "./encoders.ts";
import { Exporter, type ExporterOptions } from "./exporter.ts";
import { feedForward } from "./feed-forward.ts";
import * as content from "./input-content.ts";
import { causalPaddingMask } from "./masks.ts";
import { layerNorm } from "./norms.ts";
import type { AttentionExpectation, TransformerModel } from "./transformer-model.ts";

/** Options of the small decoders. */
export interface SmallDecoderOptions extends ExporterOptions, CacheOptions {
  readonly layers?: number;
  readonly heads?: number;
  readonly headDim?: number;
  readonly hidden?: number;
  readonly vocabulary?: number;
}

const maxLength = 16;

/**
 * OPT: folded attention in a decoder with a cache, ReLU, positions from CumSum of the mask with an offset of 2 and cut behind
 * the past.
 */
export function opt(options: SmallDecoderOptions = {}): TransformerModel {
  const { layers = 2, heads = 4, headDim = 4, hidden = 24, vocabulary = 17 } = options;
  const shape = { width: heads * headDim, heads, headDim };
  const { width } = shape;
  const ex = new Exporter({ opset: 13, ...options });
  return decoderModel(ex, options, { layers, shape, vocabulary }, (writer, { ids, mask, pasts }) => {
    const attention: AttentionExpectation[] = [];
    const presents: LayerCache[] = [];
    const y = writer.within("model/decoder", () => {
      const queries = writer.scalar(writer.sizeOf(ids, 1));
      const past = pasts[0] && writer.scalar(writer.sizeOf(pasts[0].key, 2));
      const words = embed(writer, "embed_tokens", ids, [vocabulary, width]);
      const additive = causalPaddingMask(writer, mask, queries, past);
      let x = writer.op("Add", [words, optPositions(writer, mask, past, width)]);
      pasts.forEach((memory, i) => {
        writer.within(`layers.${i}`, () => {
          const normed = layerNorm(writer, "self_attn_layer_norm", x, width);
          const attended = foldedAttention(writer, normed, shape, { mask: additive, past: memory });
          const middle = writer.op("Add", [x, attended.y]);
          const names = { up: "fc1", down: "fc2" };
          const inner = layerNorm(writer, "final_layer_norm", middle, width);
          x = writer.op("Add", [middle, feedForward(writer, inner, [width, hidden], "relu", names)]);
          attention.push(attended.attention);
          presents.push(attended.present);
        });
      });
      return layerNorm(writer, "final_layer_norm", x, width);
    });
    const { y: logits } = writer.linear("lm_head", y, [width, vocabulary], { bias: false });
    return { logits, presents, attention };
  });
}

function optPositions(ex: Exporter, mask: Value, past: Value | undefined, width: number): Value {
  return ex.within("embed_positions", () => {
    const ones = ex.cast(mask, "int64");
    const counted = ex.op("Mul", [ex.op("CumSum", [ones, ex.i64(1)]), ones]);
    const places = ex.op("Sub", [ex.cast(counted, "int64"), ex.i64(1)]);
    const own = past ? ex.slice(places, past, undefined, 1) : places;
    const index = ex.op("Add", [own, ex.i64(2)]);
    return ex.gather(ex.weight("weight", [maxLength + 2, width]), index);
  });
}

/** A character GPT in the style of nanoGPT: packed linear, Split, causal SDPA, LayerNormalization, Erf-GELU, tied output layer. */
export function charGpt(options: SmallDecoderOptions = {}): TransformerModel {
  const { layers = 2, heads = 4, headDim = 4, hidden = 32, vocabulary = 27 } = options;
  const ex = new Exporter({ opset: 17, ...options });
  const inner = heads * headDim;
  const width = inner;
  const ids = ex.input("idx", ["batch_size", "sequence_length"], content.tokens(vocabulary));
  const shape = { width, heads, headDim };
  const { y, attention } = ex.within("transformer", () => {
    const words = embed(ex, "wte", ids, [vocabulary, width]);
    const range = ex.op("Range", [ex.i64(0), ex.scalar(ex.sizeOf(ids, 1)), ex.i64(1)]);
    const x = ex.op("Add", [words, embed(ex, "wpe", range, [maxLength, width])]);
    return stack(x, layers, (value, i) =>
      ex.within(`h.${i}`, () => {
        const normed = layerNorm(ex, "ln_1", value, width, { style: "op" });
        const attended = packedAttentionOf(ex, normed, shape, (parts) => {
          const [q, k, v] = parts.map((part) => splitHeads(ex, part, heads, headDim));
          return scaledDotProduct(ex, q!, k!, v!, { kind: "causal" });
        });
        const middle = ex.op("Add", [value, attended.y]);
        const next = layerNorm(ex, "ln_2", middle, width, { style: "op" });
        const names = { up: "c_fc", down: "c_proj" };
        const inside = ex.within("mlp", () => feedForward(ex, next, [width, hidden], "gelu", names));
        return { ...attended, y: ex.op("Add", [middle, inside]) };
      }),
    );
  });
  const table = ex.within("transformer/wte", () => ex.weight("weight", [vocabulary, width]));
  const normed = layerNorm(ex, "transformer/ln_f", y, width, { style: "op" });
  const logits = ex.within("lm_head", () => ex.op("MatMul", [normed, ex.transpose(table, [1, 0])]));
  ex.output("logits", logits, ["batch_size", "sequence_length", vocabulary]);
  return ex.finish(attention, { batch_size: 2, sequence_length: 5 });
}
