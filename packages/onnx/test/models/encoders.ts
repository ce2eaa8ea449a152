import { int, type Value } from "@dgate/onnx";
import { distilBertAttention, eagerAttention } from "./attention-eager.ts";
import type { Attended } from "./attention-parts.ts";
import { bertLayer, type EncoderOptions } from "./bert.ts";
import { embed, positionIds } from "./embeddings.ts";
import { Exporter } from "./exporter.ts";
import { feedForward } from "./feed-forward.ts";
import * as content from "./input-content.ts";
import { extendedMask, lowest } from "./masks.ts";
import { layerNorm } from "./norms.ts";
import type { AttentionExpectation, TransformerModel } from "./transformer-model.ts";

const shape = ["batch_size", "sequence_length"];
const dims = { batch_size: 2, sequence_length: 6 };
const maxLength = 16;

function start(options: EncoderOptions, opset: number) {
  const { layers = 2, heads = 4, headDim = 4, hidden = 24, vocabulary = 23, norm = "decomposed" } = options;
  const ex = new Exporter({ opset: norm === "op" ? 17 : opset, ...options });
  const ids = ex.input("input_ids", shape, content.tokens(vocabulary));
  const mask = ex.input("attention_mask", shape, content.mask);
  const width = heads * headDim;
  const geometry = { width, heads, headDim };
  return { ex, ids, mask, layers, geometry, width, hidden, vocabulary, norm };
}

type Started = ReturnType<typeof start>;

/** Writes layers one after the other. */
export function stack(
  x: Value,
  layers: number,
  write: (x: Value, i: number) => Attended,
): { y: Value; attention: AttentionExpectation[] } {
  const attention: AttentionExpectation[] = [];
  let y = x;
  for (let i = 0; i < layers; i++) {
    const layer = write(y, i);
    attention.push(layer.attention);
    y = layer.y;
  }
  return { y, attention };
}

/** DistilBERT for classification (opset 11): no token types, U3 attention, first token through two layers with ReLU between. */
export function distilBert(options: EncoderOptions = {}): TransformerModel {
  const started = start(options, 11);
  const { ex, ids, mask, layers, geometry, width, hidden, vocabulary, norm } = started;
  const { y, attention } = ex.within("distilbert", () => {
    const x = ex.within("embeddings", () => {
      const words = embed(ex, "word_embeddings", ids, [vocabulary, width]);
      const places = embed(ex, "position_embeddings", positionIds(ex, ids, maxLength), [maxLength, width]);
      return layerNorm(ex, "LayerNorm", ex.op("Add", [words, places]), width, {
        style: norm,
        epsilon: 1e-12,
      });
    });
    return stack(x, layers, (value, i) =>
      ex.within(`transformer/layer.${i}`, () => {
        const { y: attended, attention: found } = distilBertAttention(ex, value, geometry, mask);
        const middle = layerNorm(ex, "sa_layer_norm", ex.op("Add", [attended, value]), width, {
          style: norm,
        });
        const names = { up: "lin1", down: "lin2" };
        const inner = ex.within("ffn", () => feedForward(ex, middle, [width, hidden], "gelu", names));
        const next = layerNorm(ex, "output_layer_norm", ex.op("Add", [inner, middle]), width, {
          style: norm,
        });
        return { y: next, attention: found };
      }),
    );
  });
  const first = ex.gather(y, ex.i64(0), 1);
  const pooled = ex.op("Relu", [gemm(ex, "pre_classifier", first, [width, width])]);
  ex.output("logits", gemm(ex, "classifier", pooled, [width, 2]), ["batch_size", 2]);
  return ex.finish(attention, dims);
}

/** A torch Linear on a matrix: Gemm with the weight `[outputs, inputs]` transposed. */
export function gemm(
  ex: Exporter,
  name: string,
  x: Value,
  [inputs, outputs]: readonly [number, number],
): Value {
  return ex.within(name, () => {
    const w = ex.weight("weight", [outputs, inputs], { scale: 1 / Math.sqrt(inputs) });
    return ex.op("Gemm", [x, w, ex.weight("bias", [outputs])], { transB: int(1) });
  });
}

/** RoBERTa's position ids: CumSum of the mask of non-padding tokens, times that mask, plus the padding index. */
function robertaPositions(ex: Exporter, ids: Value): Value {
  const padding = 1;
  const seen = ex.cast(ex.op("Not", [ex.op("Equal", [ids, ex.i64(padding)])]), "int32");
  const count = ex.op("CumSum", [seen, ex.i64(1)]);
  const shifted = ex.op("Mul", [
    ex.op("Add", [ex.cast(count, "int32"), ex.constant("int32", [], [0])]),
    seen,
  ]);
  return ex.op("Add", [ex.cast(shifted, "int64"), ex.i64(padding)]);
}

/** The zeros `[batch, length]` that stand for token types: a row of zeros cut to the length, expanded. */
function zeroTypes(ex: Exporter, ids: Value): Value {
  const zeros = ex.constant(
    "int64",
    [1, maxLength],
    Array.from({ length: maxLength }, () => 0),
  );
  const length = ex.scalar(ex.sizeOf(ids, 1));
  return ex.expand(ex.slice(zeros, 0, length, 1), [ex.sizeOf(ids, 0), length]);
}

function bertStack({ ex, mask, layers, geometry, width, hidden, norm }: Started, x: Value) {
  const additive = extendedMask(ex, mask, lowest);
  return stack(x, layers, (value, i) =>
    ex.within(`encoder/layer.${i}`, () =>
      bertLayer(ex, value, { width, hidden, norm }, () =>
        eagerAttention(ex, value, geometry, { mask: additive }),
      ),
    ),
  );
}

/** RoBERTa for masked language models: positions by CumSum, zero token types made in the graph, an output layer tied by Transpose. */
export function roberta(options: EncoderOptions = {}): TransformerModel {
  const started = start(options, 14);
  const { ex, ids, width, vocabulary, norm } = started;
  const { y, attention } = ex.within("roberta", () => {
    const x = ex.within("embeddings", () => {
      const places = robertaPositions(ex, ids);
      const words = embed(ex, "word_embeddings", ids, [vocabulary, width]);
      const sum = ex.op("Add", [words, embed(ex, "token_type_embeddings", zeroTypes(ex, ids), [1, width])]);
      const all = ex.op("Add", [sum, embed(ex, "position_embeddings", places, [maxLength + 2, width])]);
      return layerNorm(ex, "LayerNorm", all, width, { style: norm });
    });
    return bertStack(started, x);
  });
  const dense = ex.linear("lm_head/dense", y, [width, width]).y;
  const gelu = ex.op("Mul", [ex.op("Mul", [dense, ex.f32(0.5)]), erfTerm(ex, dense)]);
  const normed = layerNorm(ex, "lm_head/layer_norm", gelu, width, { style: norm });
  const table = ex.within("roberta/embeddings/word_embeddings", () =>
    ex.weight("weight", [vocabulary, width]),
  );
  const product = ex.op("MatMul", [normed, ex.transpose(table, [1, 0])]);
  const logits = ex.op("Add", [product, ex.within("lm_head", () => ex.weight("bias", [vocabulary]))]);
  ex.output("logits", logits, [...shape, vocabulary]);
  return ex.finish(attention, dims);
}

const erfTerm = (ex: Exporter, x: Value): Value =>
  ex.op("Add", [ex.op("Erf", [ex.op("Div", [x, ex.f32(Math.SQRT2)])]), ex.f32(1)]);

/** MiniLM with sentence-transformers' mean pooling and L2 normalisation: mask expanded to the hidden states, sums, Clip, Div. */
export function miniLm(options: EncoderOptions = {}): TransformerModel {
  const started = start(options, 14);
  const { ex, ids, mask, width, vocabulary, norm } = started;
  const types = ex.input("token_type_ids", shape, content.segments);
  const x = ex.within("embeddings", () => {
    const words = embed(ex, "word_embeddings", ids, [vocabulary, width]);
    const sum = ex.op("Add", [words, embed(ex, "token_type_embeddings", types, [2, width])]);
    const places = embed(ex, "position_embeddings", positionIds(ex, ids, maxLength), [maxLength, width]);
    return layerNorm(ex, "LayerNorm", ex.op("Add", [sum, places]), width, { style: norm, epsilon: 1e-12 });
  });
  const { y, attention } = bertStack(started, x);
  ex.output("token_embeddings", y, [...shape, width]);
  const wide = ex.expand(ex.unsqueeze(mask, [-1]), [ex.sizeOf(y, 0), ex.sizeOf(y, 1), ex.sizeOf(y, 2)]);
  const weights = ex.cast(wide, "float32");
  const sum = ex.reduceSum(ex.op("Mul", [y, weights]), [1], false);
  const count = ex.op("Clip", [ex.reduceSum(weights, [1], false), ex.f32(1e-9)]);
  const mean = ex.op("Div", [sum, count]);
  const length = ex.op("ReduceL2", [mean], { axes: { kind: "ints", value: [-1] }, keepdims: int(1) });
  const floor = ex.op("Clip", [length, ex.f32(1e-12)]);
  const unit = ex.op("Div", [mean, ex.op("Expand", [floor, ex.op("Shape", [mean])])]);
  ex.output("sentence_embedding", unit, ["batch_size", width]);
  return ex.finish(attention, dims);
}

/** ALBERT: factorised embeddings, and one layer whose weights serve at every depth. */
export function albert(options: EncoderOptions = {}): TransformerModel {
  const { ex, ids, mask, layers, geometry, width, hidden, vocabulary, norm } = start(options, 12);
  const narrow = 8;
  const { y, attention } = ex.within("albert", () => {
    const x = ex.within("embeddings", () => {
      const words = embed(ex, "word_embeddings", ids, [vocabulary, narrow]);
      const places = embed(ex, "position_embeddings", positionIds(ex, ids, maxLength), [maxLength, narrow]);
      return layerNorm(ex, "LayerNorm", ex.op("Add", [words, places]), narrow, {
        style: norm,
        epsilon: 1e-12,
      });
    });
    const wide = ex.linear("encoder/embedding_hidden_mapping_in", x, [narrow, width]).y;
    const additive = extendedMask(ex, mask);
    return stack(wide, layers, (value) =>
      ex.within("encoder/albert_layer_groups.0/albert_layers.0", () => {
        const attended = eagerAttention(ex, value, geometry, { mask: additive });
        const sum = ex.op("Add", [value, attended.y]);
        const middle = layerNorm(ex, "attention/LayerNorm", sum, width, { style: norm, epsilon: 1e-12 });
        const names = { up: "ffn", down: "ffn_output" };
        const inner = feedForward(ex, middle, [width, hidden], "gelu-tanh", names);
        const next = ex.op("Add", [inner, middle]);
        const normed = layerNorm(ex, "full_layer_layer_norm", next, width, { style: norm, epsilon: 1e-12 });
        return { y: normed, attention: attended.attention };
      }),
    );
  });
  ex.output("last_hidden_state", y, [...shape, width]);
  return ex.finish(attention, dims);
}
