import { randomGenerator } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { decomposedDifference, largestDifference, runOnce } from "../../test/decomposed-difference.ts";
import { quantizedForms } from "../../test/models/all-quantized-forms.ts";
import { FusedBuilder } from "../../test/models/fused-builder.ts";
import { attentionForms } from "../../test/models/fused-forms.ts";
import { attentionNet, convNet, denseNet, rmsNet } from "../../test/models/quantizable.ts";
import { halfPrecision, matMulNBits } from "../../test/models/quantize.ts";
import { int } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { numbersOf } from "../runtime/run-tensor.ts";
import { isQuantized } from "../quantization/is-quantized.ts";
import { findSites } from "../sites/find-sites.ts";
import { randomInputs } from "../verify/random-inputs.ts";
import { attentionDecompositions } from "./attention-decompositions.ts";
import { dequantizeModel } from "./dequantize.ts";
import { toSinglePrecision } from "./single-precision.ts";

const networks: Readonly<Record<string, () => Graph>> = {
  "an MLP of Gemms": () => denseNet(1, 32, [64, 128, 5]),
  "an MLP of MatMuls": () => denseNet(2, 32, [64, 128, 5], 3),
  "a CNN": () => convNet(3),
  "a normalised residual stream": () => rmsNet(6, 64, 128),
  "a transformer block": () => attentionNet(4, { width: 32, heads: 4, headDim: 16, neurons: 64 }),
};

/** What a user is offered to prune. */
const sites = (graph: Graph) =>
  findSites(graph).map(({ kind, groups, prunable }) => ({ kind, groups, prunable }));

/** Forms whose data stays float: nothing is lost with their weights dequantized. */
const weightsOnly = /weights|MatMulNBits of (2|4) bits|MatMulBnb4|float16/;

const cases = Object.entries(networks).flatMap(([network, build]) =>
  Object.entries(quantizedForms)
    .filter(([, { denseOnly }]) => !(denseOnly && network === "a CNN"))
    .map(([form, { make }]) => ({ network, form, build, make })),
);

describe.each(cases)("$network, $form", ({ form, build, make }) => {
  test("becomes a float model that computes the same and has the float model's sites", async () => {
    const float = build();
    const graph = await make(float);
    const before = String(graph);
    const plain = dequantizeModel(graph);
    const feeds = randomInputs(graph, randomGenerator(3), { batch: 3 });
    // Without its own rewriting of weights behind DequantizeLinear to 8-bit products.
    const exact = await runOnce(graph, feeds, { graphOptimizationLevel: "disabled" });
    const difference = largestDifference(exact, await runOnce(plain, feeds));
    expect(difference).toBeLessThan(weightsOnly.test(form) ? 1e-4 : 0.05);
    expect(isQuantized(plain)).toBe(false);
    expect(plain.nodes().filter(({ domain, op }) => domain !== "" || op.includes("Quantize"))).toEqual([]);
    expect(sites(plain)).toEqual(sites(float));
    expect(String(graph)).toBe(before);
  });
});
test("all 22 forms are there", () => {
  expect(Object.keys(quantizedForms)).toHaveLength(22);
});

test.each(attentionForms.filter(({ name }) => name.startsWith("QAttention")))(
  "$name becomes a float Attention, and that plain operators",
  async ({ build }) => {
    const graph = build();
    const { x } = randomInputs(graph, randomGenerator(3), { batch: 2, time: 3 });
    // Scores are large here, and a rounding of the data would turn which is the largest: data without rounding.
    const steps = Array.from(readNumbers(x!), (number) => 0.05 * Math.round(number / 0.05));
    const feeds = { x: tensorOf("float32", x!.shape, steps) };
    const plain = dequantizeModel(graph);
    expect(plain.nodes("Attention", "com.microsoft")).toHaveLength(1);
    expect(plain.value("qkv/kernel")?.data?.dtype).toBe("float32");
    const exact = await runOnce(graph, feeds);
    expect(largestDifference(exact, await runOnce(plain, feeds))).toBeLessThan(1e-4);
    const difference = await decomposedDifference(plain, attentionDecompositions, feeds);
    expect(difference).toBeLessThan(1e-5);
  },
);

/** How far the float copy's results are from a quantized graph's. */
async function dequantizedDifference(graph: Graph, dims: Record<string, number> = {}): Promise<number> {
  const feeds = randomInputs(graph, randomGenerator(3), dims);
  const exact = await runOnce(graph, feeds, { graphOptimizationLevel: "disabled" });
  return largestDifference(exact, await runOnce(dequantizeModel(graph), feeds));
}

test("a model without quantization comes back as a copy", () => {
  const float = denseNet(1, 4, [5, 2]);
  for (const graph of [float, halfPrecision(float, "float16")]) {
    const copy = dequantizeModel(graph);
    expect(String(copy)).toBe(String(graph));
    expect(copy).not.toBe(graph);
  }
});

test("constants of codes become floats under their names, biases too", async () => {
  const float = denseNet(1, 8, [6, 3]);
  const make = quantizedForms["QLinear operators per channel"]!.make;
  const plain = dequantizeModel(await make(float));
  const found = plain.initializers.map(({ name, data }) => `${name} ${data!.dtype}[${data!.shape.join()}]`);
  expect(found.toSorted()).toEqual([
    "fc1/bias_quantized float32[6]",
    "fc1/quantized float32[8,6]",
    "fc2/bias_quantized float32[3]",
    "fc2/quantized float32[3,6]",
  ]);
  expect(plain.nodes().map(({ name, op }) => `${op} ${name}`)).toEqual([
    "Gemm fc1",
    "Relu relu_1",
    "Gemm fc2",
  ]);
});

/** Parts of small quantized graphs. */
class QuantizedBuilder extends FusedBuilder {
  constant(name: string, dtype: DataType, shape: readonly number[], values: readonly number[]): Value {
    return this.graph.addInitializer(name, tensorOf(dtype, shape, values));
  }

  /** A matrix of codes from −100 to 100. */
  codes(name: string, shape: readonly [number, number], dtype: DataType = "int8"): Value {
    const offset = dtype === "int8" ? 100 : 0;
    const codes = Array.from({ length: shape[0] * shape[1] }, (_, i) => ((i * 37) % 201) - offset);
    return this.constant(name, dtype, shape, codes);
  }

  /** Scale and zero point of uint8 codes. */
  ends(name: string, scale: number, zeroPoint: number): readonly [Value, Value] {
    return [
      this.constant(`${name}/scale`, "float32", [], [scale]),
      this.constant(`${name}/zero`, "uint8", [], [zeroPoint]),
    ];
  }

  /** QuantizeLinear and DequantizeLinear. */
  through(x: Value, ends: readonly [Value, Value]): Value {
    return this.op("DequantizeLinear", [this.op("QuantizeLinear", [x, ...ends]), ...ends]);
  }
}

describe("activations that codes end for", () => {
  test.each([
    ["a Relu", 0.02, 0, 1],
    ["a Clip at 1", 1 / 255, 0, 1],
    ["nothing", 0.05, 120, 0],
  ] as const)("%s, which the quantizer left out, is there again", async (_, scale, zeroPoint, clips) => {
    const net = new QuantizedBuilder(2, 13);
    const x = net.matmul("fc1", net.input("x", ["batch", 4]), [4, 6]);
    const graph = net.output(net.matmul("fc2", net.through(x, net.ends("x", scale, zeroPoint)), [6, 3]));
    expect(await dequantizedDifference(graph, { batch: 4 })).toBeLessThan(0.05);
    expect(dequantizeModel(graph).nodes("Clip")).toHaveLength(clips);
  });

  test("what is never negative is not clipped", () => {
    const net = new QuantizedBuilder(2, 13);
    const relu = net.op("Relu", [net.input("x", ["batch", 4])]);
    const graph = net.output(net.through(net.op("Flatten", [relu]), net.ends("x", 0.02, 0)));
    expect(
      dequantizeModel(graph)
        .nodes()
        .map(({ op }) => op),
    ).toEqual(["Relu", "Flatten", "Identity"]);
  });

  test("in operator set 10 the bounds are attributes", async () => {
    const net = new QuantizedBuilder(2, 10);
    const x = net.matmul("fc1", net.input("x", ["batch", 4]), [4, 6], false);
    const graph = net.output(net.through(x, net.ends("x", 0.02, 0)));
    expect(await dequantizedDifference(graph, { batch: 4 })).toBeLessThan(0.05);
    expect([...dequantizeModel(graph).nodes("Clip")[0]!.attributes.keys()]).toEqual(["min", "max"]);
  });
});

describe("tables and weights behind other operators", () => {
  test("rows are looked up first and dequantized then; the table is a weight of another layer too", async () => {
    const net = new QuantizedBuilder(2, 13);
    const ids = net.input("ids", ["batch", "time"], "int64");
    const table = net.codes("table", [7, 4]);
    const ends = [net.constant("scale", "float32", [], [0.01]), net.constant("zero", "int8", [], [3])];
    const rows = net.op("DequantizeLinear", [net.op("Gather", [table, ids]), ...ends]);
    const head = net.op("DequantizeLinear", [net.op("Transpose", [table]), ...ends]);
    const graph = net.output(net.op("MatMul", [rows, head]));
    expect(await dequantizedDifference(graph, { batch: 2, time: 3 })).toBeLessThan(1e-6);
    const plain = dequantizeModel(graph);
    expect(plain.initializers.map(({ name }) => name)).toEqual(["table"]);
    expect(
      plain
        .nodes()
        .map(({ op }) => op)
        .toSorted(),
    ).toEqual(["Gather", "MatMul", "Transpose"]);
  });

  test("a weight that is turned before it is dequantized, with a scale per row", async () => {
    const net = new QuantizedBuilder(2, 13);
    const turned = net.op("Transpose", [net.codes("w", [3, 4])]);
    const scales = net.constant("scales", "float32", [3], [0.01, 0.02, 0.03]);
    const w = net.op("DequantizeLinear", [turned, scales], { axis: int(1) });
    const graph = net.output(net.op("MatMul", [net.input("x", ["batch", 4]), w]));
    expect(await dequantizedDifference(graph, { batch: 2 })).toBeLessThan(1e-6);
  });

  test("GatherBlockQuantized", async () => {
    const net = new QuantizedBuilder(2, 21);
    const ids = net.input("ids", ["batch", "time"], "int64");
    const inputs = [
      net.codes("table", [7, 16], "uint8"),
      ids,
      net.positive("scales", 14),
      net.constant("zeros", "uint8", [7, 1], [3, 18, 33, 52, 7, 90, 250]),
    ];
    net.graph.setData(inputs[2]!, { ...inputs[2]!.data!, shape: [7, 2] });
    const attributes = { bits: int(4), block_size: int(16), gather_axis: int(0), quantize_axis: int(1) };
    const graph = net.output(net.fused("GatherBlockQuantized", inputs, { attributes })[0]!);
    expect(await dequantizedDifference(graph, { batch: 2, time: 3 })).toBeLessThan(1e-6);
    expect(dequantizeModel(graph).value("table")!.data!.shape).toEqual([7, 32]);
  });

  test("MatMulBnb4 whose blocks span rows", async () => {
    const net = new QuantizedBuilder(2, 21);
    const inputs = [
      net.input("x", ["batch", 24]),
      net.codes("w", [1, 72], "uint8"),
      net.positive("absmax", 9),
    ];
    net.graph.setData(inputs[1]!, { ...inputs[1]!.data!, shape: [72] });
    const attributes = { K: int(24), N: int(6), block_size: int(16), quant_type: int(1) };
    const graph = net.output(net.fused("MatMulBnb4", inputs, { attributes })[0]!);
    expect(await dequantizedDifference(graph, { batch: 2 })).toBeLessThan(1e-5);
  });
});

const dynamic = (net: QuantizedBuilder, x: Value): readonly Value[] =>
  net.node("DynamicQuantizeLinear", [x], { outputs: 3 });
const real = (net: QuantizedBuilder, sums: Value, scales: Value): Value =>
  net.op("Mul", [net.op("Cast", [sums], { to: int(1) }), scales]);

describe("products of integers", () => {
  test("of two activations", async () => {
    const net = new QuantizedBuilder(2, 13);
    const [a, aScale, aZero] = dynamic(net, net.input("a", ["batch", 3, 4]));
    const [b, bScale, bZero] = dynamic(net, net.input("b", ["batch", 4, 5]));
    const sums = net.op("MatMulInteger", [a, b, aZero, bZero]);
    const graph = net.output(real(net, sums, net.op("Mul", [aScale, bScale])));
    expect(await dequantizedDifference(graph, { batch: 2 })).toBeLessThan(0.05);
    expect(
      dequantizeModel(graph)
        .nodes()
        .map(({ op }) => op),
    ).toEqual(["MatMul"]);
  });

  test("of data with a fixed scale, the factor being the product of both scales", async () => {
    const net = new QuantizedBuilder(2, 13);
    const x = net.input("x", ["batch", 4]);
    const ends = net.ends("x", 0.05, 120);
    const codes = net.op("QuantizeLinear", [x, ...ends]);
    const sums = net.op("MatMulInteger", [codes, net.codes("w", [4, 3]), ends[1]]);
    const scales = net.constant("scales", "float32", [3], [0.05 * 0.01, 0.05 * 0.02, 0.05 * 0.03]);
    const graph = net.output(real(net, sums, scales));
    expect(await dequantizedDifference(graph, { batch: 3 })).toBeLessThan(0.05);
  });

  test("with another factor are refused, the node named", () => {
    const net = new QuantizedBuilder(2, 13);
    const [x, , zero] = dynamic(net, net.input("x", ["batch", 4]));
    const sums = net.op("MatMulInteger", [x, net.codes("w", [4, 3]), zero], {}, "fc");
    const graph = net.output(real(net, sums, net.constant("scale", "float32", [], [0.01])));
    expect(() => dequantizeModel(graph)).toThrow(
      /^training form: MatMulInteger "fc" \(domain "ai.onnx"\) .*something else than the scales/,
    );
  });
});

describe("what is refused", () => {
  test("an operator that works on codes and is not known", () => {
    const net = new QuantizedBuilder(2, 13);
    const ends = net.ends("x", 0.05, 120);
    const codes = net.op("QuantizeLinear", [net.input("x", ["batch", 4]), ...ends]);
    const graph = net.output(net.op("Add", [codes, codes], {}, "sum"));
    expect(() => dequantizeModel(graph)).toThrow(/Add "sum" .*reads quantized values/);
  });
});

test("the branches of an If become float, each in its place", async () => {
  const net = new QuantizedBuilder(2, 13);
  const branch = (factor: number) => {
    const inner = new QuantizedBuilder(2, 13);
    const x = inner.graph.addOuter("x", { dtype: "float32", shape: ["batch", 4] });
    const scaled = inner.op("Mul", [x, inner.constant("factor", "float32", [], [factor])], {}, "scaled");
    return { kind: "graph", value: inner.output(inner.through(scaled, inner.ends("y", 0.05, 120))) } as const;
  };
  net.input("x", ["batch", 4]);
  const flag = net.graph.addInput("flag", { dtype: "bool", shape: [] });
  const attributes = { then_branch: branch(2), else_branch: branch(3) };
  const plain = dequantizeModel(net.output(net.op("If", [flag], attributes, "choice")));
  expect(isQuantized(plain)).toBe(false);
  for (const [taken, factor] of [
    [1, 2],
    [0, 3],
  ] as const) {
    const feeds = { flag: tensorOf("bool", [], [taken]), x: tensorOf("float32", [1, 4], [0.25, -0.5, 1, 2]) };
    const [y] = Object.values(await runOnce(plain, feeds));
    expect([...numbersOf(y!)]).toEqual([0.25, -0.5, 1, 2].map((value) => value * factor));
  }
});

test("codes that the model is given or gives stay codes", async () => {
  const net = new QuantizedBuilder(2, 13);
  const ends = net.ends("x", 0.05, 120);
  const codes = net.graph.addInput("codes", { dtype: "uint8", shape: ["batch", 4] });
  const layer = net.matmul("fc", net.op("DequantizeLinear", [codes, ...ends]), [4, 3]);
  const graph = net.output(net.op("QuantizeLinear", [layer, ...ends]));
  expect(String(dequantizeModel(graph))).toBe(String(graph));
});

test("a 4-bit model in float16 becomes one in float32", async () => {
  const float = denseNet(2, 32, [64, 5], 3);
  const packed = matMulNBits(float, { bits: 4, blockSize: 16 });
  const plain = dequantizeModel(halfPrecision(packed, "float16"));
  toSinglePrecision(plain);
  expect(plain.initializers.every(({ data }) => data!.dtype === "float32")).toBe(true);
  const feeds = randomInputs(packed, randomGenerator(3), { batch: 2 });
  expect(largestDifference(await runOnce(packed, feeds), await runOnce(plain, feeds))).toBeLessThan(3e-3);
});
