import type { Value } from "@dgate/onnx";
import { gpt2CachedAttention } from "./attention-cached.ts";
import { conv1d } from "./attention-packed.ts";
import type { AttentionShape } from "./attention-parts.ts";
import type { CachedLayer, LayerCache } from "./cache.ts";
import {
  type CacheOptions,
  type DecoderBody,
  type DecoderInputs,
  decoderModel,
  positionsAfter,
} from "./decoder.ts";
import { embed } from "./embeddings.ts";
import { Exporter, type ExporterOptions } from "./exporter.ts";
import { activations } from "./feed-forward.ts";
import * as content from "./input-content.ts";
import { extendedMask, lowest } from "./masks.ts";
import { layerNorm, type NormStyle } from "./norms.ts";
import type { AttentionExpectation, TransformerModel } from "./transformer-model.ts";

/** Options of `gpt2`. */
export interface Gpt2Options extends ExporterOptions, CacheOptions {
  readonly layers?: number;
  readonly heads?: number;
  readonly headDim?: number;
  readonly vocabulary?: number;
  readonly norm?: NormStyle;
  /** The output layer: a Transpose of the token embedding, or a matrix of its own as the exporter's folding leaves it. */
  readonly lmHead?: "tied" | "copied";
}

interface Gpt2Sizes {
  readonly layers: number;
  readonly shape: AttentionShape;
  readonly vocabulary: number;
  readonly norm: NormStyle;
}

const maxLength = 16;

function sizesOf(options: Gpt2Options): Gpt2Sizes {
  const { layers = 2, heads = 4, headDim = 4, vocabulary = 29, norm = "decomposed" } = options;
  return { layers, shape: { width: heads * headDim, heads, headDim }, vocabulary, norm };
}

/** GPT-2 (optimum): learnt positions, pre-LN, packed Conv1D, causal Where and padding Add, tanh-GELU, tied output layer. */
export function gpt2(options: Gpt2Options = {}): TransformerModel {
  const sizes = sizesOf(options);
  const { layers, shape, vocabulary, norm } = sizes;
  const ex = new Exporter({ opset: norm === "op" ? 17 : 13, ...options });
  return decoderModel(ex, options, { layers, shape, vocabulary }, (writer, inputs) =>
    gpt2Body(writer, inputs, sizes, options.lmHead ?? "tied"),
  );
}

function gpt2Body(
  ex: Exporter,
  { ids, mask, pasts }: DecoderInputs,
  { shape, vocabulary, norm }: Gpt2Sizes,
  lmHead: "tied" | "copied",
): DecoderBody {
  const { width } = shape;
  const attention: AttentionExpectation[] = [];
  const presents: LayerCache[] = [];
  const hidden = ex.within("transformer", () => {
    const flat = ex.reshape(ids, [-1, ex.sizeOf(ids, 1)]);
    const rows = ex.reshape(mask, [ex.sizeOf(ids, 0), -1]);
    const additive = extendedMask(ex, rows, lowest);
    const words = embed(ex, "wte", flat, [vocabulary, width]);
    const places = embed(ex, "wpe", positionsAfter(ex, ids, pasts[0]), [maxLength, width]);
    let x = ex.op("Add", [words, places]);
    pasts.forEach((past, i) => {
      const layer = ex.within(`h.${i}`, () => gpt2Layer(ex, x, shape, { past, mask: additive, norm }));
      x = layer.y;
      attention.push(layer.attention);
      presents.push(layer.present);
    });
    const normed = layerNorm(ex, "ln_f", x, width, { style: norm });
    return ex.reshape(normed, [-1, ex.sizeOf(ids, 1), ex.sizeOf(normed, 2)]);
  });
  return { logits: outputLayer(ex, hidden, [vocabulary, width], lmHead), presents, attention };
}

function gpt2Layer(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  {
    norm,
    ...memory
  }: { readonly past: LayerCache | undefined; readonly mask?: Value; readonly norm: NormStyle },
): CachedLayer {
  const { width } = shape;
  const attended = gpt2CachedAttention(ex, layerNorm(ex, "ln_1", x, width, { style: norm }), shape, memory);
  const middle = ex.op("Add", [attended.y, x]);
  const normed = layerNorm(ex, "ln_2", middle, width, { style: norm });
  const inner = ex.within("mlp", () => {
    const hidden = activations["gelu-tanh"](ex, conv1d(ex, "c_fc", normed, [width, 2 * width]).y);
    return conv1d(ex, "c_proj", hidden, [2 * width, width]).y;
  });
  return { ...attended, y: ex.op("Add", [middle, inner]) };
}

function outputLayer(
  ex: Exporter,
  hidden: Value,
  [vocabulary, width]: readonly [number, number],
  lmHead: "tied" | "copied",
): Value {
  if (lmHead === "copied") return ex.linear("lm_head", hidden, [width, vocabulary], { bias: false }).y;
  const table = ex.within("transformer/wte", () => ex.weight("weight", [vocabulary, width]));
  return ex.within("lm_head", () => ex.op("MatMul", [hidden, ex.transpose(table, [1, 0])]));
}

/**
 * GPT-2 as old scripts exported it (opset 11): one cache `[2, batch, heads, past, headDim]` for a layer, `past_0`, taken apart by
 * Gather and put together by Unsqueeze and Concat; no mask input.
 */
export function gpt2Stacked(options: Gpt2Options = {}): TransformerModel {
  const { layers, shape, vocabulary, norm } = sizesOf(options);
  const { width, heads, headDim } = shape;
  const ex = new Exporter({ opset: 11, ...options });
  const ids = ex.input("input_ids", ["batch_size", "seq_len"], content.tokens(vocabulary));
  const type = [2, "batch_size", heads, "past_seq_len", headDim];
  const stacked = Array.from({ length: layers }, (_, i) => ex.input(`past_${i}`, type, content.normal));
  const pasts = stacked.map((past) => ({
    key: ex.gather(past, ex.i64(0), 0),
    value: ex.gather(past, ex.i64(1), 0),
  }));
  const words = embed(ex, "wte", ids, [vocabulary, width]);
  let x = ex.op("Add", [words, embed(ex, "wpe", positionsAfter(ex, ids, pasts[0]), [maxLength, width])]);
  const written = pasts.map((past, i) => {
    const layer = ex.within(`h.${i}`, () => gpt2Layer(ex, x, shape, { past, norm }));
    x = layer.y;
    return layer;
  });
  ex.output("last_hidden_state", layerNorm(ex, "ln_f", x, width, { style: norm }), [
    "batch_size",
    "seq_len",
    width,
  ]);
  written.forEach(({ present }, i) => {
    const both = ex.concat([ex.unsqueeze(present.key, [0]), ex.unsqueeze(present.value, [0])], 0);
    ex.output(`present_${i}`, both, [2, "batch_size", heads, "past_seq_len + seq_len", headDim]);
  });
  const attention = written.map((layer) => layer.attention);
  return ex.finish(attention, { batch_size: 2, seq_len: 3, past_seq_len: 4 });
}
