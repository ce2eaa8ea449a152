import { type DgateError, randomGenerator } from "@dgate/core";
import {
  type Attribute,
  Graph,
  gradients,
  inferShapes,
  int,
  ints,
  numbersOf,
  openRunner,
  randomInputs,
  type Tensor,
  tensorOf,
  type Value,
} from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { evaluateGraph } from "../../test/float64/evaluate-graph.ts";
import { float64Of } from "../../test/float64/tensor.ts";
import { faultsOf } from "../../test/gradient-graph.ts";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { gradientName } from "./gradients.ts";

/** Adds Σ value² as "loss" to a network whose last value is given. */
function squared(b: GraphBuilder, value: Value): Graph {
  const sum = b.op("ReduceSum", [b.op("Mul", [value, value])], { keepdims: int(0) });
  b.graph.rename(sum, "loss");
  return b.output(value);
}

const weightsOf = (graph: Graph): string[] =>
  graph.initializers
    .filter(({ data }) => data?.dtype === "float32" && data.shape.length > 0)
    .map(({ name }) => name);

function mlp(): Graph {
  const b = new GraphBuilder(1, 18);
  const hidden = b.op("Tanh", [b.gemm("fc1", b.input("x", ["batch", 3]), [3, 4])]);
  return squared(b, b.gemm("fc2", hidden, [4, 2]));
}

function cnn(): Graph {
  const b = new GraphBuilder(1, 13);
  const x = b.input("x", ["batch", 2, 8, 8]);
  const first = b.op("Relu", [b.batchNorm("bn", b.conv("conv1", x, [2, 4], { pads: [1, 1, 1, 1] }), 4)]);
  const pooled = b.op("MaxPool", [first], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) });
  const second = b.conv("conv2", pooled, [4, 4], { group: 2, strides: [2, 2] });
  return squared(b, b.gemm("fc", b.op("Flatten", [b.op("GlobalAveragePool", [second])]), [4, 3]));
}

function attention(): Graph {
  const b = new GraphBuilder(1, 17);
  const table = b.weight("embedding", [7, 8]);
  const x = b.op("Gather", [table, b.input("ids", ["batch", "time"], "int64")]);
  const scale = b.weight("norm/scale", [8], 0.1, 1);
  const normed = b.op("LayerNormalization", [x, scale, b.weight("norm/bias", [8])]);
  const heads = (name: string) =>
    b.transpose(b.reshape(b.matmul(name, normed, [8, 8]), [0, 0, 2, 4]), [0, 2, 1, 3]);
  const [q, k, v] = [heads("q"), heads("k"), heads("v")];
  const weights = b.op("Softmax", [b.op("MatMul", [q, b.transpose(k, [0, 1, 3, 2])])]);
  const context = b.reshape(b.transpose(b.op("MatMul", [weights, v]), [0, 2, 1, 3]), [0, 0, 8]);
  return squared(b, b.op("Add", [x, b.matmul("out", context, [8, 8])]));
}

const networks: readonly [string, () => Graph][] = [
  ["MLP", mlp],
  ["CNN", cnn],
  ["attention", attention],
];

type Feeds = Readonly<Record<string, Tensor>>;
type Numbers = Readonly<Record<string, ArrayLike<number>>>;

/** Random feeds of a batch. */
function feedsOf(graph: Graph, batch: number): Feeds {
  return randomInputs(graph, randomGenerator(3), { batch, time: 3 });
}

async function run(graph: Graph, feeds: Feeds, runtime: "node" | "web" = "node"): Promise<Numbers> {
  const runner = await openRunner(graph, { runtime });
  const results = await runner.run(feeds);
  await runner.dispose();
  return Object.fromEntries(Object.entries(results).map(([name, value]) => [name, numbersOf(value)]));
}

/** The same graph in float64. */
function evaluate(graph: Graph, feeds: Feeds): Numbers {
  const inputs = Object.entries(feeds).map(([name, feed]) => [name, float64Of(feed)] as const);
  const values = evaluateGraph(graph, Object.fromEntries(inputs));
  return Object.fromEntries(graph.outputs.map((value) => [value.name, values.get(value)!.data]));
}

const largest = (numbers: ArrayLike<number>): number => Math.max(...Array.from(numbers, Math.abs));

/** Largest difference of any output, relative to its largest number; what cancels, as the bias of keys, is zero but for rounding. */
function difference(got: Numbers, expected: Numbers): number {
  expect(Object.keys(got)).toEqual(Object.keys(expected));
  const least = 1e-3 * Math.max(...Object.values(expected).map(largest));
  const errors = Object.entries(expected).map(([name, numbers]) => {
    const differences = Array.from(numbers, (x, i) => x - got[name]![i]!);
    return largest(differences) / Math.max(largest(numbers), least);
  });
  return Math.max(...errors);
}

describe.each(networks)("the gradient graph of the %s", (_, build) => {
  test("has only operators that every runtime has, needs each node, and computes nothing twice", () => {
    const model = build();
    const before = String(model);
    expect(faultsOf(gradients(model, { loss: "loss", wrt: weightsOf(model) }))).toEqual([]);
    expect(String(model)).toBe(before);
  });

  test("runs at any batch size, natively and in WASM, as in float64", async () => {
    const model = build();
    const graph = gradients(model, { loss: "loss", wrt: weightsOf(model) });
    for (const batch of [1, 2, 5]) {
      const feeds = feedsOf(model, batch);
      const exact = evaluate(graph, feeds);
      expect(difference(await run(graph, feeds, "node"), exact)).toBeLessThan(1e-4);
      expect(difference(await run(graph, feeds, "web"), exact)).toBeLessThan(1e-4);
    }
  });

  test("the gradient of a sum over the batch is the sum of the gradients of its parts", () => {
    const model = build();
    const graph = gradients(model, { loss: "loss", wrt: weightsOf(model) });
    const whole = feedsOf(model, 3);
    const parts = [0, 1, 2].map((row) =>
      evaluate(graph, Object.fromEntries(Object.entries(whole).map(([name, x]) => [name, rowOf(x, row)]))),
    );
    const sums = Object.entries(parts[0]!).map(([name, first]) => [
      name,
      Array.from(first, (_number, i) => parts.reduce((sum, part) => sum + part[name]![i]!, 0)),
    ]);
    expect(difference(Object.fromEntries(sums), evaluate(graph, whole))).toBeLessThan(1e-10);
  });
});

function rowOf(x: Tensor, row: number): Tensor {
  const numbers = readNumbers(x);
  const size = numbers.length / x.shape[0]!;
  return tensorOf(x.dtype, [1, ...x.shape.slice(1)], numbers.slice(row * size, (row + 1) * size));
}

test("the graph of a layer, as a whole", () => {
  const b = new GraphBuilder(1, 18);
  const model = squared(b, b.op("Tanh", [b.gemm("fc", b.input("x", ["batch", 3]), [3, 2])]));
  expect(String(gradients(model, { loss: "loss", wrt: ["fc/kernel", "fc/bias"] }))).toMatchInlineSnapshot(`
    "graph "test" (ai.onnx 18)
      input %x: float32[batch, 3]
      const %fc/kernel: float32[3, 2]
      const %fc/bias: float32[2]
      const %gradient/constant: float32[]
      const %gradient/constant_1: int64[2]
      const %gradient/constant_4: int64[1]
      %fc_output_0 = Gemm(%x, %fc/kernel, %fc/bias)
      %tanh_1_output_0 = Tanh(%fc_output_0)
      %mul_2_output_0 = Mul(%tanh_1_output_0, %tanh_1_output_0)
      %loss = ReduceSum(%mul_2_output_0) {keepdims: 0}
      %gradient/Unsqueeze_2: float32[1, 1] = Unsqueeze(%gradient/constant, %gradient/constant_1)
      %gradient/Mul: float32[batch, 2] = Mul(%gradient/Unsqueeze_2, %tanh_1_output_0)
      %gradient/Add: float32[batch, 2] = Add(%gradient/Mul, %gradient/Mul)
      %gradient/Sub: float32[batch, 2] = Sub(%gradient/constant, %mul_2_output_0)
      %gradient/Mul_3: float32[batch, 2] = Mul(%gradient/Add, %gradient/Sub)
      %fc/kernel.gradient: float32[3, 2] = Gemm(%x, %gradient/Mul_3) {transA: 1}
      %fc/bias.gradient: float32[2] = ReduceSum(%gradient/Mul_3, %gradient/constant_4) {keepdims: 0}
      return %loss, %fc/kernel.gradient, %fc/bias.gradient"
  `);
});

test("a value that is used twice gets one sum, and what it depends on is gone through once", () => {
  const b = new GraphBuilder(1, 18);
  const y = b.op("Exp", [b.op("Mul", [b.input("x", [3]), b.weight("w", [3])])]);
  const model = squared(b, b.op("Add", [b.op("Sin", [y]), b.op("Cos", [y])]));
  const graph = gradients(model, { loss: "loss", wrt: ["w"] });
  const added = graph.nodes().filter(({ name }) => name.startsWith("gradient/"));
  const counts = (op: string): number => added.filter((node) => node.op === op).length;
  expect([counts("Add"), counts("Exp")]).toEqual([2, 0]);
  expect(faultsOf(graph)).toEqual([]);
});

describe("outputs", () => {
  test("are the loss, the outputs asked for and the gradients, in this order and of these types", () => {
    const model = mlp();
    const [output] = model.outputs;
    const graph = gradients(model, { loss: "loss", wrt: ["fc1/bias", "x"], outputs: [output!.name] });
    expect(graph.outputs.map(({ name }) => name)).toEqual([
      "loss",
      output!.name,
      "fc1/bias.gradient",
      "x.gradient",
    ]);
    const { types } = inferShapes(graph);
    expect(graph.outputs.slice(2).map((value) => types.get(value))).toEqual([
      { dtype: "float32", shape: [4] },
      { dtype: "float32", shape: ["batch", 3] },
    ]);
    expect(graph.inputs.map(({ name }) => name)).toEqual(["x"]);
  });

  test("gradients that are the same array have a name each", async () => {
    const b = new GraphBuilder(1, 18);
    const model = squared(b, b.op("Add", [b.input("x", [3]), b.input("y", [3])]));
    const graph = gradients(model, { loss: "loss", wrt: ["x", "y"] });
    const feeds = { x: tensorOf("float32", [3], [1, 2, 3]), y: tensorOf("float32", [3], [0, 0, 1]) };
    const results = await run(graph, feeds);
    expect(results["x.gradient"]).toEqual(Float32Array.of(2, 4, 8));
    expect(results["y.gradient"]).toEqual(results["x.gradient"]);
  });

  test("a value between is differentiated by too", () => {
    const b = new GraphBuilder(1, 18);
    const middle = b.op("Exp", [b.input("x", [2])]);
    const graph = gradients(squared(b, b.op("Neg", [middle])), { loss: "loss", wrt: [middle.name, "x"] });
    const results = evaluate(graph, { x: tensorOf("float32", [2], [0, 1]) });
    expect(results[gradientName(middle.name)]![1]).toBeCloseTo(2 * Math.E, 6);
    expect(results["x.gradient"]![1]).toBeCloseTo(2 * Math.E ** 2, 6);
  });
});

function refusal(model: Graph, loss: string, wrt: readonly string[]): unknown {
  try {
    return gradients(model, { loss, wrt });
  } catch (error) {
    const { code, message } = error as DgateError; // gradients throws no other
    return `${code} ${message}`;
  }
}

describe("what is refused", () => {
  test("names that the model does not have, integers, several numbers, and what the loss does not depend on", () => {
    const model = attention();
    const [output] = model.outputs;
    const other = model.addInput("other", { dtype: "float32", shape: [2] });
    expect([
      refusal(model, "lost", ["embedding"]),
      refusal(model, "loss", ["lost"]),
      refusal(model, "loss", ["ids"]),
      refusal(model, output!.name, ["embedding"]),
      refusal(model, "loss", [other.name]),
    ]).toMatchInlineSnapshot(`
      [
        "OPTION gradients: graph "test" has no value "lost".",
        "OPTION gradients: graph "test" has no value "lost".",
        "OPTION gradients: "ids" is int64 and has no gradient; only floating-point values have.",
        "OPTION gradients: the loss "add_15_output_0" is [batch, time, 8], expected one element; reduce it first.",
        "NO_MATCH gradients: the loss "loss" does not depend on "other"; leave it out, or give another loss.",
      ]
    `);
  });

  test("operators without a derivative and control flow on the way, by name", () => {
    const b = new GraphBuilder(1, 18);
    const x = b.input("x", [2, 2]);
    const det = squared(b, b.op("Det", [x], {}, "det"));
    expect([refusal(det, "loss", ["x"]), refusal(withBranch(), "loss", ["w"])]).toMatchInlineSnapshot(`
      [
        "UNSUPPORTED the element type of "loss" is not known: Det "det" has no shape rule; declare it in the model's value_info.",
        "UNSUPPORTED gradients: If "either" is control flow between what is differentiated and the loss; export the model without it, or one of its branches as a model.",
      ]
    `);
  });
});

function branch(op: string, names: readonly string[]): Attribute {
  const inner = new Graph(op, [["", 18]]);
  const inputs = names.map((name) => inner.addOuter(name));
  inner.addOutput(inner.addNode({ op, inputs }).outputs[0]!);
  return { kind: "graph", value: inner };
}

/** If(flag) x · w else w */
function withBranch(): Graph {
  const b = new GraphBuilder(1, 18);
  const flag = b.graph.addInput("flag", { dtype: "bool", shape: [] });
  b.input("x", [2]);
  b.weight("w", [2]);
  const branches = { then_branch: branch("Mul", ["x", "w"]), else_branch: branch("Identity", ["w"]) };
  return squared(b, b.op("If", [flag], branches, "either"));
}
