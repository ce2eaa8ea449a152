import { ints, type Value } from "@dgate/onnx";
import type { Attended, AttentionShape } from "./attention-parts.ts";
import { expectation } from "./attention-parts.ts";
import { stack } from "./encoders.ts";
import { Exporter, type ExporterOptions } from "./exporter.ts";
import type { Linear } from "./graph-writer.ts";
import * as content from "./input-content.ts";
import type { TransformerModel } from "./transformer-model.ts";

/** Options of `tfBert`. */
export interface TfBertOptions extends ExporterOptions {
  readonly layers?: number;
  readonly heads?: number;
  readonly headDim?: number;
  readonly hidden?: number;
  readonly vocabulary?: number;
}

/** A target shape as tf2onnx writes it: sizes cut from Shape by Slice and Squeeze, unsqueezed, joined as int32, cast back to int64. */
function tfShape(ex: Exporter, x: Value, sizes: readonly (number | "batch" | "length")[]): Value {
  const shape = ex.cast(ex.op("Shape", [x]), "int32");
  const parts = sizes.map((size) => {
    if (typeof size === "number") return ex.constant("int32", [1], [size]);
    const axis = size === "batch" ? 0 : 1;
    const cut = ex.op("Slice", [shape, ex.i64s([axis]), ex.i64s([axis + 1]), ex.i64s([0])]);
    return ex.unsqueeze(ex.squeeze(cut, [0]), [0]);
  });
  return ex.cast(ex.concat(parts, 0), "int64");
}

const tfReshape = (
  ex: Exporter,
  x: Value,
  of: Value,
  sizes: readonly (number | "batch" | "length")[],
): Value => ex.op("Reshape", [x, tfShape(ex, of, sizes)]);

/** Keras' Dense on `[batch, length, features]` (Tensordot): rows as a matrix, MatMul, the shape put back, BiasAdd. */
function dense(ex: Exporter, name: string, x: Value, [inputs, outputs]: readonly [number, number]): Linear {
  return ex.within(name, () => {
    const w = ex.weight("kernel", [inputs, outputs], { scale: 1 / Math.sqrt(inputs) });
    const b = ex.weight("bias", [outputs]);
    const rows = ex.op("Reshape", [x, ex.i64s([-1, inputs])]);
    const product = tfReshape(ex, ex.op("MatMul", [rows, w]), x, ["batch", "length", outputs]);
    return { y: ex.op("Add", [product, b]), weight: w.name, bias: b.name };
  });
}

/** Keras' LayerNormalization through `moments` and `batch_normalization`: x·(γ/√(σ² + ε)) + (β − μ·(γ/√(σ² + ε))). */
function tfLayerNorm(ex: Exporter, name: string, x: Value, width: number): Value {
  return ex.within(name, () => {
    const gamma = ex.weight("gamma", [width], { scale: 0.2, mean: 1 });
    const beta = ex.weight("beta", [width], { scale: 0.2 });
    const mean = ex.op("ReduceMean", [x], { axes: ints([2]) });
    const centred = ex.op("Sub", [x, mean]);
    const variance = ex.op("ReduceMean", [ex.op("Mul", [centred, centred])], { axes: ints([2]) });
    const root = ex.op("Reciprocal", [ex.op("Sqrt", [ex.op("Add", [variance, ex.f32(1e-12)])])]);
    const factor = ex.op("Mul", [root, gamma]);
    const shift = ex.op("Sub", [beta, ex.op("Mul", [mean, factor])]);
    return ex.op("Add", [ex.op("Mul", [x, factor]), shift]);
  });
}

function tfAttention(
  ex: Exporter,
  x: Value,
  { width, heads, headDim }: AttentionShape,
  mask: Value,
): Attended {
  const inner = heads * headDim;
  return ex.within("attention", () => {
    const [q, k, v] = ["self/query", "self/key", "self/value"].map((name) =>
      dense(ex, name, x, [width, inner]),
    );
    const split = ({ y }: Linear): Value =>
      ex.transpose(tfReshape(ex, y, x, ["batch", -1, heads, headDim]), [0, 2, 1, 3]);
    const product = ex.op("MatMul", [split(q!), ex.transpose(split(k!), [0, 1, 3, 2])]);
    const scores = ex.op("Mul", [ex.f32(1 / Math.sqrt(headDim)), product]);
    const weights = ex.softmax(ex.op("Add", [scores, mask]));
    const context = ex.transpose(ex.op("MatMul", [weights, split(v!)]), [0, 2, 1, 3]);
    const merged = tfReshape(ex, context, x, ["batch", -1, inner]);
    const o = dense(ex, "output/dense", merged, [inner, width]);
    const parts = { q: q!, k: k!, v: v!, o };
    return { y: o.y, attention: expectation(ex, "U2", { width, heads, headDim }, parts) };
  });
}

function tfLayer(ex: Exporter, x: Value, shape: AttentionShape, mask: Value, hidden: number): Attended {
  const { width } = shape;
  const { y, attention } = tfAttention(ex, x, shape, mask);
  const middle = tfLayerNorm(ex, "attention/output/LayerNorm", ex.op("Add", [y, x]), width);
  const up = dense(ex, "intermediate/dense", middle, [width, hidden]).y;
  const erf = ex.op("Erf", [ex.op("Mul", [up, ex.f32(Math.SQRT1_2)])]);
  const half = ex.op("Mul", [ex.f32(0.5), ex.op("Add", [ex.f32(1), erf])]);
  const down = dense(ex, "output/dense", ex.op("Mul", [up, half]), [hidden, width]).y;
  return { y: tfLayerNorm(ex, "output/LayerNorm", ex.op("Add", [down, middle]), width), attention };
}

/** BERT as tf2onnx writes it (opset 11): constants as initializers, shapes in int32, dense layers on matrices, int32 inputs. */
export function tfBert(options: TfBertOptions = {}): TransformerModel {
  const { layers = 2, heads = 4, headDim = 4, hidden = 24, vocabulary = 23 } = options;
  const ex = new Exporter({ opset: 11, constants: "initializers", ...options });
  const width = heads * headDim;
  const type = ["unk__1", "unk__2"];
  const ids = ex.input("input_ids:0", type, { ...content.tokens(vocabulary), dtype: "int32" });
  const mask = ex.input("attention_mask:0", type, { ...content.mask, dtype: "int32" });
  const { y, attention } = ex.within("tf_bert_model/bert", () => {
    const wide = ex.cast(ex.unsqueeze(mask, [1, 2]), "float32");
    const additive = ex.op("Mul", [ex.op("Sub", [ex.f32(1), wide]), ex.f32(-10000)]);
    const x = ex.within("embeddings", () => {
      const words = ex.gather(ex.weight("word_embeddings", [vocabulary, width]), ids);
      const shape = ex.cast(ex.op("Shape", [ids]), "int32");
      const length = ex.squeeze(ex.op("Slice", [shape, ex.i64s([1]), ex.i64s([2]), ex.i64s([0])]), [0]);
      const range = ex.op("Range", [ex.constant("int32", [], [0]), length, ex.constant("int32", [], [1])]);
      const places = ex.gather(ex.weight("position_embeddings", [16, width]), ex.unsqueeze(range, [0]));
      return tfLayerNorm(ex, "LayerNorm", ex.op("Add", [words, places]), width);
    });
    const shape = { width, heads, headDim };
    return stack(x, layers, (value, i) =>
      ex.within(`encoder/layer_._${i}`, () => tfLayer(ex, value, shape, additive, hidden)),
    );
  });
  ex.output("Identity:0", y, [...type, width]);
  return ex.finish(attention, { unk__1: 2, unk__2: 5 });
}
