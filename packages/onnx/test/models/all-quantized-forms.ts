import type { Graph } from "@dgate/onnx";
import { fp4Levels, nf4Levels } from "../../src/quantization/bnb4-levels.ts";
import { dequantizedWeights, dynamicInt8, halfPrecision, matMulBnb4, matMulNBits } from "./quantize.ts";
import { calibrate, qdq, qlinear } from "./quantize-static.ts";

/** A quantized form of a float model. */
export interface QuantizedForm {
  readonly make: (float: Graph) => Graph | Promise<Graph>;
  /** How far its outputs may be from the float model's, relative to the largest. */
  readonly near: number;
  /** Removed and masked agree to the bit, or to this. */
  readonly equal: number;
  /** What onnxruntime makes of a weight of zeros, where it subtracts zero points after the sum. */
  readonly noise?: number;
  /** Weights are packed along the inputs in blocks of this size: fewer, larger groups. */
  readonly block?: number;
  /** Convolutions stay floats. */
  readonly denseOnly?: true;
}

const int8 = { near: 0.05, equal: 0 };
const dynamic = (options: Parameters<typeof dynamicInt8>[1]): QuantizedForm => ({
  ...int8,
  make: (float) => dynamicInt8(float, options),
});
const packed = (near: number, options: Parameters<typeof matMulNBits>[1]): QuantizedForm => ({
  near,
  equal: 1e-6,
  block: options.blockSize,
  denseOnly: true,
  make: (float) => matMulNBits(float, options),
});

/** Every form of quantized model, by a name for tests. */
export const quantizedForms: Readonly<Record<string, QuantizedForm>> = {
  "dynamic int8": dynamic({}),
  "dynamic int8, symmetric, per channel": dynamic({ perChannel: true, symmetric: true }),
  "dynamic uint8 per channel in 7 bits": dynamic({ type: "uint8", perChannel: true, reduceRange: true }),
  MatMulIntegerToFloat: dynamic({ perChannel: true, fused: "MatMulIntegerToFloat" }),
  DynamicQuantizeMatMul: dynamic({ perChannel: true, fused: "DynamicQuantizeMatMul" }),
  "QLinear operators": {
    ...int8,
    make: async (float) => qlinear(float, await calibrate(float), { type: "int8", symmetric: true }),
  },
  "QLinear operators per channel": {
    ...int8,
    make: async (float) =>
      qlinear(float, await calibrate(float), { type: "int8", symmetric: true, perChannel: true }),
  },
  QDQ: {
    ...int8,
    make: async (float) =>
      qdq(float, await calibrate(float), { type: "int8", symmetric: true, biases: true }),
  },
  "QDQ uint8": {
    ...int8,
    make: async (float) => qdq(float, await calibrate(float), { type: "uint8", biases: true }),
  },
  "QDQ per channel": {
    ...int8,
    make: async (float) =>
      qdq(float, await calibrate(float), { type: "int8", symmetric: true, perChannel: true, biases: true }),
  },
  "QDQ int4 in blocks of 16": {
    near: 0.2,
    equal: 1e-6,
    block: 16,
    denseOnly: true,
    make: async (float) => qdq(float, await calibrate(float), { type: "int4", blockSize: 16 }),
  },
  // onnxruntime turns these layers into MatMulNBits on 8-bit data, in blocks of its own that a cut shifts.
  "int8 weights": {
    near: 0.03,
    equal: 0.02,
    noise: 1e-6,
    make: (float) => dequantizedWeights(float, { type: "int8" }),
  },
  "int4 weights per channel": {
    near: 0.3,
    equal: 0.02,
    noise: 1e-6,
    make: (float) => dequantizedWeights(float, { type: "int4", perChannel: true }),
  },
  "uint4 weights in blocks of 16": {
    near: 0.2,
    equal: 1e-5,
    noise: 1e-6,
    block: 16,
    denseOnly: true,
    make: (float) => dequantizedWeights(float, { type: "uint4", blockSize: 16 }),
  },
  "MatMulNBits of 4 bits": packed(0.25, { bits: 4, blockSize: 16 }),
  "MatMulNBits of 4 bits with zero points, scales and zero points in rows": packed(0.25, {
    bits: 4,
    blockSize: 32,
    zeroPoints: "packed",
    flat: false,
    bias: true,
  }),
  "MatMulNBits of 4 bits with zero points between codes": packed(0.25, {
    bits: 4,
    blockSize: 16,
    zeroPoints: "float",
  }),
  "MatMulNBits of 8 bits on 8-bit data": packed(0.03, {
    bits: 8,
    blockSize: 16,
    zeroPoints: "packed",
    accuracyLevel: 4,
  }),
  "MatMulNBits of 2 bits": packed(1, { bits: 2, blockSize: 16, zeroPoints: "packed" }),
  "MatMulBnb4 with NF4": {
    near: 0.2,
    equal: 1e-6,
    block: 16,
    denseOnly: true,
    make: (float) => matMulBnb4(float, 16, 1, nf4Levels),
  },
  "MatMulBnb4 with FP4": {
    near: 0.3,
    equal: 1e-6,
    block: 16,
    denseOnly: true,
    make: (float) => matMulBnb4(float, 16, 0, fp4Levels),
  },
  float16: { near: 2e-3, equal: 2e-3, make: (float) => halfPrecision(float, "float16") },
};
