import { tensor, tensorOf, type Value } from "@dgate/onnx";
import type { AttentionShape } from "./attention-parts.ts";
import { relativePositionBias, t5Attention } from "./attention-relative.ts";
import { embed } from "./embeddings.ts";
import { stack } from "./encoders.ts";
import { Exporter, type ExporterOptions } from "./exporter.ts";
import { feedForward } from "./feed-forward.ts";
import * as content from "./input-content.ts";
import { causalPaddingMask, extendedMask, lowest } from "./masks.ts";
import { rmsNorm } from "./norms.ts";
import {
  type LayerCaches,
  type Seq2SeqBody,
  type Seq2SeqInputs,
  type Seq2SeqOptions,
  seq2SeqModel,
} from "./seq2seq.ts";
import type { AttentionExpectation, TransformerModel } from "./transformer-model.ts";

/** Options of T5. */
export interface T5Options extends ExporterOptions, Seq2SeqOptions {
  readonly layers?: number;
  /** Features of the stream; heads·headDim may differ from it, as in flan-t5-small. */
  readonly width?: number;
  readonly heads?: number;
  readonly headDim?: number;
  readonly hidden?: number;
  readonly vocabulary?: number;
  /** ReLU as in T5 1.0, or the gated GELU of T5 1.1 and flan-T5. */
  readonly feedForward?: "relu" | "geglu";
}

interface T5Sizes {
  readonly layers: number;
  readonly shape: AttentionShape;
  readonly hidden: number;
  readonly vocabulary: number;
  readonly style: "relu" | "geglu";
}

function sizesOf(options: T5Options): T5Sizes {
  const { layers = 2, width = 16, heads = 4, headDim = 6, hidden = 24, vocabulary = 19 } = options;
  return {
    layers,
    shape: { width, heads, headDim },
    hidden,
    vocabulary,
    style: options.feedForward ?? "relu",
  };
}

function t5FeedForward(ex: Exporter, x: Value, { shape: { width }, hidden, style }: T5Sizes): Value {
  const normed = rmsNorm(ex, "layer_norm", x, [width]);
  const names = style === "relu" ? { up: "wi", down: "wo" } : { up: "wi_1", down: "wo", gate: "wi_0" };
  const inner = ex.within("DenseReluDense", () =>
    feedForward(ex, normed, [width, hidden], style, names, false),
  );
  return ex.op("Add", [x, inner]);
}

/** T5's encoder: one position bias, made in the first layer and added in all. */
export function t5Encoder(options: T5Options = {}): TransformerModel {
  const sizes = sizesOf(options);
  const { layers, shape, vocabulary } = sizes;
  const ex = new Exporter({ opset: 13, ...options });
  const type = ["batch_size", "encoder_sequence_length"];
  const ids = ex.input("input_ids", type, content.tokens(vocabulary));
  const mask = ex.input("attention_mask", type, content.mask);
  const { y, attention } = ex.within("encoder", () => {
    const x = embed(ex, "embed_tokens", ex.reshape(ids, [-1, ex.sizeOf(ids, 1)]), [vocabulary, shape.width]);
    const padding = extendedMask(ex, mask, lowest);
    const bias = ex.within("block.0/layer.0/SelfAttention", () => {
      const length = ex.sizeOf(x, 1);
      const table = relativePositionBias(ex, shape.heads, {
        queries: length,
        keys: length,
        bidirectional: true,
      });
      return ex.op("Add", [table, padding]);
    });
    const layered = stack(x, layers, (value, i) =>
      ex.within(`block.${i}`, () => {
        const attended = ex.within("layer.0", () => {
          const normed = rmsNorm(ex, "layer_norm", value, [shape.width]);
          const { y: inner, attention: found } = t5Attention(ex, normed, shape, { bias });
          return { y: ex.op("Add", [value, inner]), attention: found };
        });
        return { ...attended, y: ex.within("layer.1", () => t5FeedForward(ex, attended.y, sizes)) };
      }),
    );
    return { ...layered, y: rmsNorm(ex, "final_layer_norm", layered.y, [shape.width]) };
  });
  ex.output("last_hidden_state", y, [...type, shape.width]);
  return ex.finish(attention, { batch_size: 2, encoder_sequence_length: 5 });
}

/** T5's decoder: one-sided position bias shared by the layers, cross-attention with a bias of zeros and the encoder's mask. */
export function t5Decoder(options: T5Options = {}): TransformerModel {
  const sizes = sizesOf(options);
  const { layers, shape, vocabulary } = sizes;
  const ex = new Exporter({ opset: 13, ...options });
  const dims = { layers, shape, width: shape.width, vocabulary, masked: true };
  return seq2SeqModel(ex, options, dims, (writer, inputs) => t5DecoderBody(writer, inputs, sizes));
}

/** The position bias of the decoder: of all keys as queries, of which the last ones are taken when there is a past. */
function decoderBias(ex: Exporter, ids: Value, heads: number, past: Value | undefined): Value {
  const queries = ex.scalar(ex.sizeOf(ids, 1));
  const keys = past ? ex.op("Add", [queries, past]) : queries;
  const table = relativePositionBias(ex, heads, { queries: keys, keys, bidirectional: false });
  const last = past ? ex.slice(table, ex.op("Neg", [queries]), undefined, 2) : table;
  const one = ex.op("ConstantOfShape", [ex.sizes([ex.sizeOf(ids, 0), keys])], ones());
  return ex.op("Add", [last, causalPaddingMask(ex, one, queries, past)]);
}

/** HF's bias of cross-attention, zeros `[1, heads, queries, keys]`, plus the encoder's mask. */
function crossBias(ex: Exporter, ids: Value, keys: Value, heads: number, mask: Value | undefined): Value {
  const sizes = ex.sizes([1, heads, ex.sizeOf(ids, 1), keys]);
  const zeros = ex.op("ConstantOfShape", [sizes], { value: tensor(tensorOf("float32", [1], [0])) });
  return mask ? ex.op("Add", [zeros, extendedMask(ex, mask, lowest)]) : zeros;
}

const ones = () => ({ value: tensor(tensorOf("float32", [1], [1])) });

function t5DecoderBody(
  ex: Exporter,
  { ids, states, encoderMask, pasts }: Seq2SeqInputs,
  sizes: T5Sizes,
): Seq2SeqBody {
  const { shape, vocabulary } = sizes;
  const { width, heads } = shape;
  const attention: AttentionExpectation[] = [];
  const presents: LayerCaches[] = [];
  const hidden = ex.within("decoder", () => {
    let x = embed(ex, "embed_tokens", ex.reshape(ids, [-1, ex.sizeOf(ids, 1)]), [vocabulary, width]);
    const past = pasts[0] && ex.scalar(ex.sizeOf(pasts[0].own.key, 2));
    const bias = ex.within("block.0/layer.0/SelfAttention", () => decoderBias(ex, ids, heads, past));
    const keys = ex.scalar(pasts[0] ? ex.sizeOf(pasts[0].cross.key, 2) : ex.sizeOf(states!, 1));
    const zeros = ex.within("block.0/layer.1/EncDecAttention", () =>
      crossBias(ex, ids, keys, heads, encoderMask),
    );
    pasts.forEach((memory, i) => {
      ex.within(`block.${i}`, () => {
        const self = ex.within("layer.0", () => {
          const normed = rmsNorm(ex, "layer_norm", x, [width]);
          const { y, ...rest } = t5Attention(ex, normed, shape, { bias, past: memory?.own });
          return { ...rest, y: ex.op("Add", [x, y]) };
        });
        const cross = ex.within("layer.1", () => {
          const normed = rmsNorm(ex, "layer_norm", self.y, [width]);
          const source = { ...(states && { context: states }), fixed: memory?.cross };
          const { y, ...rest } = t5Attention(ex, normed, shape, {
            bias: zeros,
            name: "EncDecAttention",
            ...source,
          });
          return { ...rest, y: ex.op("Add", [self.y, y]) };
        });
        attention.push(self.attention, cross.attention);
        presents.push({ own: self.present, cross: cross.present });
        x = ex.within("layer.2", () => t5FeedForward(ex, cross.y, sizes));
      });
    });
    return rmsNorm(ex, "final_layer_norm", x, [width]);
  });
  const scaled = ex.op("Mul", [hidden, ex.f32(width ** -0.5)]);
  const { y: logits } = ex.linear("lm_head", scaled, [width, vocabulary], { bias: false });
  return { logits, presents, attention };
}
