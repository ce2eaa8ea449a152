import { randomGenerator } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { evaluateGraph } from "../../test/float64/evaluate-graph.ts";
import { float64Of, float64Tensor } from "../../test/float64/tensor.ts";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { denseNet } from "../../test/models/quantizable.ts";
import { float, int } from "../graph/attribute.ts";
import type { Graph } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { numbersOf } from "../runtime/run-tensor.ts";
import { openRunner } from "../runtime/open-runner.ts";
import { dequantizeModel } from "../training-form/dequantize.ts";
import { verify } from "../verify/verify.ts";
import { writeModel } from "../io/write.ts";
import { type BlockQuantizeOptions, quantizeBlocks } from "./quantize-blocks.ts";

const all = { minimumElements: 0 };

const cases: readonly BlockQuantizeOptions[] = [
  {},
  { symmetric: false },
  { blockSize: 16 },
  { blockSize: 128, symmetric: false },
  { bits: 8 },
  { bits: 8, symmetric: false, blockSize: 64 },
  { accuracyLevel: 1 },
];

/** 70 inputs: the last block of 16 to 128 is not full. */
const net = (): Graph => denseNet(5, 70, [48, 9], 3);

describe.each(["node", "web"] as const)("onnxruntime-%s", (runtime) => {
  test.each(cases)("computes with the weights that the codes stand for: %o", async (options) => {
    const { graph } = quantizeBlocks(net(), { ...all, ...options });
    const random = randomGenerator(2);
    const x = Float32Array.from({ length: 2 * 3 * 70 }, () => random.normal());
    const shape = [2, 3, 70];
    const values = evaluateGraph(dequantizeModel(graph), { x: float64Tensor(shape, x) });
    const expected = [...values].find(([{ name }]) => name === graph.outputs[0]!.name)![1].data;
    const runner = await openRunner(writeModel(graph), { runtime });
    const [y] = Object.values(await runner.run({ x: { data: x, shape } }));
    await runner.dispose();
    const scale = expected.reduce((most, number) => Math.max(most, Math.abs(number)), 0);
    numbersOf(y!).forEach((number, i) => expect(Math.abs(number - expected[i]!)).toBeLessThan(2e-6 * scale));
  });
});

test("Gemm, a bias, a turned weight and a factor: as the float model, to the codes", async () => {
  const builder = new GraphBuilder(3);
  const x = builder.input("x", ["batch", 32]);
  const [w, b] = [builder.weight("w", [12, 32]), builder.weight("b", [12])];
  const first = builder.op(
    "Gemm",
    [x, w, b],
    { transB: int(1), alpha: float(-0.5), beta: float(3) },
    "first",
  );
  const graph = builder.output(
    builder.op("MatMul", [first, builder.transpose(builder.weight("v", [8, 12]), [1, 0])], {}, "second"),
  );
  const { graph: small, report } = quantizeBlocks(graph, { ...all, bits: 8 });
  expect(small.nodes("MatMulNBits", "com.microsoft").map(({ name }) => name)).toEqual(["first", "second"]);
  expect(report.skipped).toEqual([]);
  expect((await verify(graph, small)).maxRelDiff).toBeLessThan(0.01);
});

test("the form is that of the hub's q4 files", () => {
  const { graph, report } = quantizeBlocks(denseNet(5, 70, [48]), { accuracyLevel: 4 });
  expect(String(graph)).toMatchInlineSnapshot(`
    "graph "test" (ai.onnx 21, com.microsoft 1)
      input %x: float32[batch, 70]
      const %fc1/bias: float32[48]
      const %fc1/kernel_q4: uint8[48, 3, 16]
      const %fc1/kernel_scales: float32[144]
      %fc1_quantized_output = com.microsoft.MatMulNBits(%x, %fc1/kernel_q4, %fc1/kernel_scales) {K: 70, N: 48, bits: 4, block_size: 32, accuracy_level: 4}
      %fc1_output_0 = Add(%fc1_quantized_output, %fc1/bias)
      return %fc1_output_0"
  `);
  expect(report.quantized).toEqual([
    { node: "fc1", operator: "Gemm", weight: "fc1/kernel", shape: [70, 48] },
  ]);
  expect(graph.opsets.get("com.microsoft")).toBe(1);
});

test("tables become 8-bit codes on request", async () => {
  const builder = new GraphBuilder(8);
  const table = builder.weight("table", [50, 32], 0.3);
  const x = builder.op("Gather", [table, builder.input("ids", ["batch", 4], "int64")], {}, "embed");
  const graph = builder.output(builder.matmul("fc", x, [32, 64], false));
  expect(quantizeBlocks(graph).report.quantized.map(({ node }) => node)).toEqual(["fc"]);
  const { graph: small, report } = quantizeBlocks(graph, { operators: ["Gather", "MatMul"], bits: 8 });
  expect(report.sizeBytes.after).toBe(50 * 32 + 5 + 64 * 32 + 64 * 4);
  expect((await verify(graph, small)).maxRelDiff).toBeLessThan(0.02);
});

test("zeros of a pruned weight stay zeros", () => {
  const graph = net();
  const kernel = graph.value("fc1/kernel")!;
  const numbers = float64Of(kernel.data!).data.map((number, i) => (i % 3 === 0 ? 0 : number));
  graph.setData(kernel, tensorOf("float32", kernel.data!.shape, numbers));
  for (const options of cases) {
    const plain = dequantizeModel(quantizeBlocks(graph, { ...all, ...options }).graph);
    const found = float64Of(
      plain.initializers.find(({ data }) => data!.shape.join() === "70,48")!.data!,
    ).data;
    expect(found.filter((number, i) => numbers[i] === 0 && number !== 0)).toEqual(new Float64Array(0));
  }
});

test.each([
  [{ bits: 3 }, "bits"],
  [{ blockSize: 24 }, "blockSize"],
  [{ blockSize: 8 }, "blockSize"],
  [{ accuracyLevel: 5 }, "accuracyLevel"],
  [{ operators: ["Conv"] }, "Conv"],
])("bad options are refused: %o", (options, part) => {
  // Callers without types.
  expect(() => quantizeBlocks(net(), options as BlockQuantizeOptions)).toThrow(
    expect.objectContaining({ code: "OPTION", message: expect.stringContaining(part) }),
  );
});
