import { randomGenerator } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { gpt2 } from "../../test/models/gpt2.ts";
import { outputsOf } from "../../test/same-outputs.ts";
import { float, int } from "../graph/attribute.ts";
import type { Graph } from "../graph/graph.ts";
import { graphsWithin } from "../training-form/subgraphs.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { threeOfOne } from "../../test/three-of-one.ts";
import { verify } from "../verify/verify.ts";
import { type DynamicQuantizeOptions, quantizeDynamic } from "./quantize-dynamic.ts";

const all = { minimumElements: 0 };

const ops = (graph: Graph): string[] => graph.sorted().map(({ op }) => op);

const nearness = async (graph: Graph, options: DynamicQuantizeOptions = {}): Promise<number> =>
  (await verify(graph, quantizeDynamic(graph, { ...all, ...options }).graph, { runtime: "node" })).maxRelDiff;

describe("the form of a dynamically quantized layer", () => {
  test("layers that read one value share its quantization", () => {
    const { graph } = quantizeDynamic(threeOfOne(), all);
    expect(String(graph)).toMatchInlineSnapshot(`
      "graph "test" (ai.onnx 17)
        input %x: float32[batch, 5, 16]
        const %q/bias: float32[8]
        const %k/bias: float32[8]
        const %q/kernel_quantized: int8[16, 8]
        const %q/kernel_scale: float32[8]
        const %q/kernel_zero_point: int8[]
        const %k/kernel_quantized: int8[16, 8]
        const %k/kernel_scale: float32[8]
        const %k/kernel_zero_point: int8[]
        const %v/kernel_quantized: int8[16, 8]
        const %v/kernel_scale: float32[8]
        const %v/kernel_zero_point: int8[]
        %x_quantized, %x_scale, %x_zero_point = DynamicQuantizeLinear(%x)
        %q_quantized_output = MatMulInteger(%x_quantized, %q/kernel_quantized, %x_zero_point, %q/kernel_zero_point)
        %q_cast_output = Cast(%q_quantized_output) {to: 1}
        %q_scales_output = Mul(%x_scale, %q/kernel_scale)
        %q_output_0 = Mul(%q_cast_output, %q_scales_output)
        %q/add_output_0 = Add(%q_output_0, %q/bias)
        %k_quantized_output = MatMulInteger(%x_quantized, %k/kernel_quantized, %x_zero_point, %k/kernel_zero_point)
        %k_cast_output = Cast(%k_quantized_output) {to: 1}
        %k_scales_output = Mul(%x_scale, %k/kernel_scale)
        %k_output_0 = Mul(%k_cast_output, %k_scales_output)
        %k/add_output_0 = Add(%k_output_0, %k/bias)
        %v_quantized_output = MatMulInteger(%x_quantized, %v/kernel_quantized, %x_zero_point, %v/kernel_zero_point)
        %v_cast_output = Cast(%v_quantized_output) {to: 1}
        %v_scales_output = Mul(%x_scale, %v/kernel_scale)
        %v_output_0 = Mul(%v_cast_output, %v_scales_output)
        return %q/add_output_0, %k/add_output_0, %v_output_0"
    `);
  });

  test("a sum is exactly that of the codes of data and weight, times both scales", async () => {
    const net = new GraphBuilder(2);
    const dense = net.output(net.matmul("fc", net.input("x", [6, 40]), [40, 9], false));
    for (const options of [
      {},
      { weightType: "uint8" },
      { perChannel: false },
      { reduceRange: true },
    ] as const) {
      const { graph } = quantizeDynamic(dense, { ...all, ...options });
      const random = randomGenerator(3);
      const x = Float32Array.from({ length: 240 }, () => random.normal());
      const [y] = Object.values(await outputsOf(graph, { x: { data: x, shape: [6, 40] } }));
      const expected = referenceProduct(x, graph, 40, 9);
      expected.forEach((sum, i) => expect(Math.abs(Number(y!.data[i]) - sum)).toBeLessThan(1e-5));
    }
  });

  test.each([
    ["alpha and beta", { alpha: float(0.5), beta: float(-2) }, [32, 6]],
    ["a transposed weight", { transB: int(1) }, [6, 32]],
  ] as const)("Gemm with %s", async (_, attributes, shape) => {
    const net = new GraphBuilder(4);
    const inputs = [net.input("x", ["batch", 32]), net.weight("w", shape), net.weight("b", [6])];
    const graph = net.output(net.op("Gemm", inputs, attributes, "fc"));
    expect(await nearness(graph)).toBeLessThan(0.03);
    expect(ops(quantizeDynamic(graph, all).graph)).not.toContain("Gemm");
  });

  test("convolutions on request: one zero point, a scale for each filter", async () => {
    const net = new GraphBuilder(5);
    const x = net.input("x", ["batch", 4, 9, 9]);
    const first = net.conv("first", x, [4, 6], { pads: [1, 1, 1, 1], strides: [2, 2] });
    const graph = net.output(net.conv("second", net.op("Relu", [first]), [6, 6], { group: 3, bias: false }));
    expect(ops(quantizeDynamic(graph, all).graph)).toEqual(["Conv", "Relu", "Conv"]);
    for (const perChannel of [true, false])
      expect(await nearness(graph, { operators: ["Conv"], perChannel })).toBeLessThan(0.03);
  });

  test("onnxruntime's product of a transposed weight and a factor", async () => {
    const net = new GraphBuilder(14);
    net.graph.opsets.set("com.microsoft", 1);
    const attributes = { alpha: float(0.25), transB: int(1) };
    const inputs = [net.input("x", ["batch", 3, 32]), net.weight("w", [6, 32])];
    const init = { op: "FusedMatMul", domain: "com.microsoft", name: "fc", inputs, attributes };
    const graph = net.output(net.graph.addNode(init).outputs[0]!);
    expect(await nearness(graph)).toBeLessThan(0.03);
    expect(ops(quantizeDynamic(graph, all).graph)).not.toContain("FusedMatMul");
  });

  test("vectors of data", async () => {
    const net = new GraphBuilder(6);
    expect(await nearness(net.output(net.matmul("fc", net.input("x", [16]), [16, 8])))).toBeLessThan(0.03);
  });

  test("a model of an old operator set is raised, a newer one keeps its own and its info", () => {
    for (const [opset, expected] of [
      [9, 18],
      [11, 11],
      [17, 17],
    ] as const) {
      const net = new GraphBuilder(7, opset);
      const graph = net.output(net.matmul("fc", net.input("x", ["batch", 16]), [16, 8]));
      graph.info = { ...graph.info, producerName: "pytorch", metadata: new Map([["a", "b"]]) };
      const found = quantizeDynamic(graph, all).graph;
      expect(found.opsets.get("")).toBe(expected);
      expect(found.info).toMatchObject({ producerName: "pytorch", metadata: new Map([["a", "b"]]) });
    }
  });
});

/** The nearest integer, the even one of two. */
const even = (number: number): number => {
  const floor = Math.floor(number);
  return number - floor === 0.5 ? floor + (floor % 2) : Math.round(number);
};

/** Σ (x − x₀)(w − w₀) · s_x · s_w from the constants of a graph of one layer, data quantized as the operator's definition says. */
function referenceProduct(x: Float32Array, graph: Graph, depth: number, columns: number): number[] {
  const [low, high] = [Math.min(0, ...x), Math.max(0, ...x)];
  const step = Math.fround(Math.fround(high - low) / 255);
  const zero = even(Math.min(255, Math.max(0, Math.fround(-low / step))));
  const codes = Array.from(x, (number) =>
    Math.min(255, Math.max(0, even(Math.fround(number / step)) + zero)),
  );
  const [w, scales, zeros] = ["quantized", "scale", "zero_point"].map((part) =>
    readNumbers(graph.value(`fc/kernel_${part}`)!.data!),
  );
  return Array.from({ length: (codes.length / depth) * columns }, (_, i) => {
    const [row, j] = [Math.floor(i / columns), i % columns];
    let sum = 0;
    for (let k = 0; k < depth; k++)
      sum += (codes[row * depth + k]! - zero) * (w![k * columns + j]! - (zeros![j] ?? zeros![0])!);
    return sum * step * (scales![j] ?? scales![0])!;
  });
}

describe("what is shared", () => {
  test("a table that the last layer reads too, transposed, is stored once", async () => {
    const net = new GraphBuilder(8);
    const table = net.weight("table", [50, 32], 0.3);
    const x = net.op("Gather", [table, net.input("ids", ["batch", 4], "int64")], {}, "embed");
    const graph = net.output(
      net.op("MatMul", [net.op("Tanh", [x]), net.transpose(table, [1, 0])], {}, "head"),
    );
    const { graph: small, report } = quantizeDynamic(graph);
    expect(report.sizeBytes).toEqual({ before: 50 * 32 * 4, after: 50 * 32 + 4 + 1 });
    expect(report.quantized.map(({ operator, weight }) => [operator, weight])).toEqual([
      ["Gather", "table"],
      ["MatMul", "table"],
    ]);
    expect((await verify(graph, small, { runtime: "node" })).maxRelDiff).toBeLessThan(0.03);
    expect((await verify(graph, small, { runtime: "web" })).maxRelDiff).toBeLessThan(0.03);
  });

  test("a weight of several layers is quantized once, for each way that it is read", () => {
    const net = new GraphBuilder(9);
    const w = net.weight("w", [16, 16]);
    const first = net.op("MatMul", [net.input("x", ["batch", 16]), w], {}, "first");
    const second = net.op("MatMul", [net.op("Relu", [first]), w], {}, "second");
    const graph = net.output(net.op("Gemm", [net.op("Relu", [second]), w], { transB: int(1) }, "third"));
    const { graph: small } = quantizeDynamic(graph, all);
    const weights = small.nodes("MatMulInteger").map(({ inputs }) => inputs[1]!.name);
    expect(weights).toEqual(["w_quantized", "w_quantized", "w_quantized_2"]);
  });

  test("weights of both branches of a merged decoder are quantized once, in the graph around them", () => {
    const { graph } = gpt2({ cache: "merged" });
    const { graph: small, report } = quantizeDynamic(graph, all);
    const branches = graphsWithin(small).slice(1);
    expect(branches).toHaveLength(2);
    const codes = graphsWithin(small).flatMap(({ initializers }) =>
      initializers.filter(({ name }) => name.endsWith("_quantized")),
    );
    expect(new Set(codes.map(({ name }) => name)).size).toBe(codes.length);
    expect(new Set(report.quantized.map(({ weight }) => weight)).size).toBe(codes.length);
    for (const branch of branches)
      expect(branch.nodes("MatMulInteger").length).toBe(
        report.quantized.filter(({ operator }) => operator !== "Gather").length / 2,
      );
    expect(report.sizeBytes.after).toBeLessThan(0.5 * report.sizeBytes.before);
  });
});
