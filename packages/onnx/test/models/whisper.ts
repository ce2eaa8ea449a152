import { ints, type Value } from "@dgate/onnx";
import { foldedAttention } from "./attention-folded.ts";
import type { AttentionShape } from "./attention-parts.ts";
import { embed } from "./embeddings.ts";
import { stack } from "./encoders.ts";
import { Exporter, type ExporterOptions } from "./exporter.ts";
import { activations, feedForward } from "./feed-forward.ts";
import * as content from "./input-content.ts";
import { triangularMask } from "./masks.ts";
import { layerNorm } from "./norms.ts";
import {
  type LayerCaches,
  type Seq2SeqBody,
  type Seq2SeqInputs,
  type Seq2SeqOptions,
  seq2SeqModel,
} from "./seq2seq.ts";
import type { AttentionExpectation, TransformerModel } from "./transformer-model.ts";

/** Options of Whisper. */
export interface WhisperOptions extends ExporterOptions, Seq2SeqOptions {
  readonly layers?: number;
  readonly heads?: number;
  readonly headDim?: number;
  readonly hidden?: number;
  readonly vocabulary?: number;
}

const mels = 6;
const frames = 6;
const maxLength = 16;

function sizesOf({ layers = 2, heads = 4, headDim = 4, hidden = 24, vocabulary = 21 }: WhisperOptions) {
  return { layers, shape: { width: heads * headDim, heads, headDim }, hidden, vocabulary };
}

function conv(
  ex: Exporter,
  name: string,
  x: Value,
  [inputs, outputs]: readonly [number, number],
  stride: number,
): Value {
  return ex.within(name, () => {
    const w = ex.weight("weight", [outputs, inputs, 3], { scale: 1 / Math.sqrt(3 * inputs) });
    const attributes = { kernel_shape: ints([3]), pads: ints([1, 1]), strides: ints([stride]) };
    return activations.gelu(ex, ex.op("Conv", [x, w, ex.weight("bias", [outputs])], attributes));
  });
}

/** Whisper's encoder (optimum): two Conv over `[batch, mels, 2·frames]`, a table of positions added as a whole, pre-LN layers. */
export function whisperEncoder(options: WhisperOptions = {}): TransformerModel {
  const { layers, shape, hidden } = sizesOf(options);
  const { width } = shape;
  const ex = new Exporter({ opset: 13, ...options });
  const features = ex.input("input_features", ["batch_size", mels, 2 * frames], content.normal);
  const first = conv(ex, "conv1", features, [mels, width], 1);
  const second = ex.transpose(conv(ex, "conv2", first, [width, width], 2), [0, 2, 1]);
  const table = ex.within("embed_positions", () => ex.weight("weight", [frames, width]));
  const x = ex.op("Add", [second, table]);
  const { y, attention } = stack(x, layers, (value, i) =>
    ex.within(`layers.${i}`, () => {
      const normed = layerNorm(ex, "self_attn_layer_norm", value, width);
      const attended = foldedAttention(ex, normed, shape, { keyBias: false });
      const middle = ex.op("Add", [value, attended.y]);
      return { ...attended, y: whisperFeedForward(ex, middle, shape, hidden) };
    }),
  );
  ex.output("last_hidden_state", layerNorm(ex, "layer_norm", y, width), ["batch_size", frames, width]);
  return ex.finish(attention, { batch_size: 2 });
}

function whisperFeedForward(ex: Exporter, x: Value, { width }: AttentionShape, hidden: number): Value {
  const normed = layerNorm(ex, "final_layer_norm", x, width);
  const names = { up: "fc1", down: "fc2" };
  return ex.op("Add", [x, feedForward(ex, normed, [width, hidden], "gelu", names)]);
}

/** Whisper's decoder: positions sliced behind the past, causal self-attention, cross-attention, output layer tied by Transpose. */
export function whisperDecoder(options: WhisperOptions = {}): TransformerModel {
  const sizes = sizesOf(options);
  const { layers, shape, vocabulary } = sizes;
  const ex = new Exporter({ opset: 14, ...options });
  const dims = { layers, shape, width: shape.width, vocabulary, encoderLength: frames, masked: false };
  return seq2SeqModel(ex, options, dims, (writer, inputs) => whisperBody(writer, inputs, sizes));
}

function whisperBody(
  ex: Exporter,
  { ids, states, pasts }: Seq2SeqInputs,
  { shape, hidden, vocabulary }: ReturnType<typeof sizesOf>,
): Seq2SeqBody {
  const { width } = shape;
  const attention: AttentionExpectation[] = [];
  const presents: LayerCaches[] = [];
  const y = ex.within("model/decoder", () => {
    const flat = ex.reshape(ids, [-1, ex.sizeOf(ids, 1)]);
    const words = embed(ex, "embed_tokens", flat, [vocabulary, width]);
    const queries = ex.scalar(ex.sizeOf(ids, 1));
    const past = pasts[0] && ex.scalar(ex.sizeOf(pasts[0].own.key, 2));
    const keys = past ? ex.op("Add", [past, queries]) : queries;
    const table = ex.within("embed_positions", () => ex.weight("weight", [maxLength, width]));
    let x = ex.op("Add", [words, ex.slice(table, past ?? 0, keys, 0)]);
    const mask = triangularMask(ex, queries, keys);
    pasts.forEach((memory, i) => {
      ex.within(`layers.${i}`, () => {
        const normed = layerNorm(ex, "self_attn_layer_norm", x, width);
        const self = foldedAttention(ex, normed, shape, { mask, keyBias: false, past: memory?.own });
        const middle = ex.op("Add", [x, self.y]);
        const cross = foldedAttention(ex, layerNorm(ex, "encoder_attn_layer_norm", middle, width), shape, {
          name: "encoder_attn",
          keyBias: false,
          fixed: memory?.cross,
          ...(states && { context: states }),
        });
        attention.push(self.attention, cross.attention);
        presents.push({ own: self.present, cross: cross.present });
        x = whisperFeedForward(ex, ex.op("Add", [middle, cross.y]), shape, hidden);
      });
    });
    return layerNorm(ex, "layer_norm", x, width);
  });
  const tokens = ex.within("model/decoder/embed_tokens", () => ex.weight("weight", [vocabulary, width]));
  const logits = ex.within("proj_out", () => ex.op("MatMul", [y, ex.transpose(tokens, [1, 0])]));
  return { logits, presents, attention };
}
