import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { denseNet } from "../../test/models/quantizable.ts";
import {
  dequantizedWeights,
  dynamicInt8,
  matMulBnb4,
  matMulNBits,
  Rewriter,
  type WeightOptions,
} from "../../test/models/quantize.ts";
import { Graph, type Value } from "../graph/graph.ts";
import { int } from "../graph/attribute.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { openRunner } from "../runtime/open-runner.ts";
import { numbersOf } from "../runtime/run-tensor.ts";
import { fp4Levels, nf4Levels } from "./bnb4-levels.ts";
import { isQuantized } from "./is-quantized.ts";
import { dequantize, packRows, unpackRows } from "./quantization.ts";
import { quantizationOf } from "./quantization-of.ts";
import { realTensor } from "./real-tensor.ts";
import { unshareParameters } from "./unshare-parameters.ts";

/** What a graph computes from a unit matrix: the weights of a linear layer, `[inputs, outputs]`. */
async function weightsOf(graph: Graph, inputs: number): Promise<number[]> {
  const runner = await openRunner(writeModel(graph), { runtime: "node" });
  const unit = Float32Array.from({ length: inputs * inputs }, (_, i) => (i % (inputs + 1) === 0 ? 1 : 0));
  const [result] = Object.values(await runner.run({ x: { data: unit, shape: [inputs, inputs] } }));
  await runner.dispose();
  return Array.from(numbersOf(result!));
}

/** A MatMul of `inputs` × `outputs` without bias. */
function linear(inputs: number, outputs: number): Graph {
  const graph = denseNet(5, inputs, [outputs]);
  const gemm = graph.nodes("Gemm")[0]!;
  const bias = gemm.inputs[2]!;
  graph.setInput(gemm, 2, undefined);
  graph.removeInitializer(bias);
  return graph;
}

const weightValue = (graph: Graph, suffix: string): Value =>
  graph.initializers.find(({ name }) => name.endsWith(suffix))!;

const transposed = (numbers: ArrayLike<number>, rows: number, stride: number, columns: number): number[] =>
  Array.from({ length: rows * columns }, (_, i) => numbers[(i % rows) * stride + Math.floor(i / rows)]!);

describe("the real numbers of quantized weights are those that onnxruntime computes with", () => {
  const inputs = 70;
  const outputs = 5;

  test.each([
    ["int4 per channel", { type: "int4", perChannel: true }],
    ["uint4 in blocks with a rest", { type: "uint4", blockSize: 32 }],
    ["int8 in blocks", { type: "int8", blockSize: 14 }],
    ["uint8", { type: "uint8" }],
  ] as const satisfies readonly (readonly [string, WeightOptions])[])(
    "DequantizeLinear of %s",
    async (_, options) => {
      const graph = dequantizedWeights(linear(inputs, outputs), options);
      // The dequantized weight itself, not a product that rounds its data.
      const dequantized = graph.nodes("DequantizeLinear")[0]!.outputs[0]!;
      graph.addOutput(dequantized);
      const runner = await openRunner(writeModel(graph), { runtime: "node" });
      const results = await runner.run({ x: { data: new Float32Array(inputs), shape: [1, inputs] } });
      await runner.dispose();
      const found = numbersOf(results[dequantized.name]!);
      expect([...readNumbers(realTensor(graph, weightValue(graph, "/quantized")))]).toEqual([...found]);
    },
  );

  test.each([
    ["4 bits", { bits: 4, blockSize: 16 }],
    ["4 bits with packed zero points and a rest", { bits: 4, blockSize: 32, zeroPoints: "packed" }],
    ["4 bits with zero points of fractions", { bits: 4, blockSize: 16, zeroPoints: "float", flat: false }],
    ["8 bits", { bits: 8, blockSize: 16, zeroPoints: "packed" }],
    ["2 bits", { bits: 2, blockSize: 64, zeroPoints: "packed" }],
  ] as const)("MatMulNBits of %s", async (_, options) => {
    const graph = matMulNBits(linear(inputs, outputs), options);
    const packed = weightValue(graph, "/packed");
    const quantization = quantizationOf(graph, packed)!;
    const numbers = dequantize(packed.data!, quantization);
    const stride = numbers.length / outputs;
    const found = await weightsOf(graph, inputs);
    const expected = transposed(numbers, outputs, stride, inputs);
    found.forEach((number, i) => expect(Math.abs(number - expected[i]!)).toBeLessThan(1e-5));
    expect(numbers.slice(inputs, stride)).toEqual(new Float32Array(stride - inputs));
  });

  test.each([
    ["NF4", 1, nf4Levels],
    ["FP4", 0, fp4Levels],
  ] as const)("MatMulBnb4 of %s, every level", async (_, type, levels) => {
    const graph = new Graph("levels", [
      ["", 21],
      ["com.microsoft", 1],
    ]);
    const x = graph.addInput("x", { dtype: "float32", shape: ["n", 16] });
    const bytes = Array.from({ length: 8 }, (__, i) => 2 * i * 16 + 2 * i + 1);
    const b = graph.addInitializer("b", tensorOf("uint8", [8], bytes));
    const scale = graph.addInitializer("scale", tensorOf("float32", [1], [3]));
    const attributes = { K: int(16), N: int(1), block_size: int(16), quant_type: int(type) };
    const init = { op: "MatMulBnb4", domain: "com.microsoft", inputs: [x, b, scale], attributes };
    graph.addOutput(graph.addNode(init).outputs[0]!);
    const found = await weightsOf(graph, 16);
    const numbers = [...dequantize(b.data!, quantizationOf(graph, b)!)];
    found.forEach((number, i) => expect(Math.abs(number - numbers[i]!)).toBeLessThan(1e-6));
    found.forEach((number, i) => expect(Math.abs(number / 3 - levels[i]!)).toBeLessThan(1e-6));
  });

  test("MatMulInteger, whose scale follows the sum, per channel", async () => {
    const float = linear(inputs, outputs);
    const graph = dynamicInt8(float, { perChannel: true });
    const exact = readNumbers(float.value("fc1/kernel")!.data!);
    const found = readNumbers(realTensor(graph, weightValue(graph, "/quantized")));
    const steps = readNumbers(weightValue(graph, "/scale").data!);
    found.forEach((number, i) =>
      expect(Math.abs(number - exact[i]!)).toBeLessThanOrEqual(steps[i % outputs]! * 0.5001),
    );
  });
});

test("rows of codes are packed and unpacked without loss, each row padded to whole bytes", () => {
  const cases = fc.record({
    bits: fc.constantFrom(2, 4, 8),
    rows: fc.integer({ min: 1, max: 5 }),
    columns: fc.integer({ min: 1, max: 9 }),
    seed: fc.nat(),
  });
  fc.assert(
    fc.property(cases, ({ bits, rows, columns, seed }) => {
      const codes = Uint8Array.from({ length: rows * columns }, (_, i) => (seed + 7 * i) % 2 ** bits);
      const packed = packRows(codes, bits, rows, columns);
      expect(packed.length).toBe(rows * Math.ceil((columns * bits) / 8));
      expect(unpackRows(packed, bits, rows, columns)).toEqual(codes);
    }),
  );
});

test("a model is quantized if it rounds values as it runs, and not for packed weights alone", () => {
  const float = denseNet(1, 32, [16, 4]);
  expect(isQuantized(float)).toBe(false);
  expect(isQuantized(dynamicInt8(float))).toBe(true);
  expect(isQuantized(dequantizedWeights(float, { type: "int8" }))).toBe(true);
  expect(isQuantized(matMulNBits(float, { bits: 4, blockSize: 16 }))).toBe(false);
  expect(isQuantized(matMulNBits(float, { bits: 4, blockSize: 16, accuracyLevel: 4 }))).toBe(true);
  expect(isQuantized(matMulBnb4(float, 16, 1, nf4Levels))).toBe(false);
});

test("layers that share a list of zero points get one each; a single number stays shared", () => {
  const to = new Rewriter(new Graph("shared", [["", 21]]));
  const shared = to.constant("zeros", "int8", [3], [0, 0, 0]);
  const one = to.scalar("zero", "int8", 0);
  const scales = to.constant("scales", "float32", [3], [1, 2, 3]);
  for (const name of ["a", "b"]) {
    const weight = to.constant(name, "int8", [2, 3], [1, 2, 3, 4, 5, 6]);
    to.graph.addOutput(to.op("DequantizeLinear", [weight, scales, shared]));
    to.graph.addOutput(to.op("DequantizeLinear", [weight, to.scalar(`${name}.scale`, "float32", 1), one]));
  }
  expect(unshareParameters(to.graph)).toBe(2);
  expect(to.graph.uses(shared)).toHaveLength(1);
  expect(to.graph.uses(one)).toHaveLength(2);
  expect(unshareParameters(to.graph)).toBe(0);
});
