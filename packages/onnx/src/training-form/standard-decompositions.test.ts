import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { randomFeeds } from "../../test/random-feeds.ts";
import { outputDifference, outputsOf } from "../../test/same-outputs.ts";
import { type Attribute, float, int, ints, string } from "../graph/attribute.ts";
import { checkGraph } from "../graph/check-graph.ts";
import type { Value } from "../graph/graph.ts";
import { ruleOf } from "../ops/rule-of.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { decompose } from "./decompose.ts";
import { standardDecompositions } from "./standard-decompositions.ts";

type Shape = readonly (number | string)[];

interface Sample {
  readonly op: string;
  readonly shape: Shape;
  readonly attributes?: Record<string, Attribute>;
  readonly inputs?: (b: GraphBuilder) => readonly (Value | undefined)[];
  readonly outputs?: number;
  readonly opset?: number;
}

const vectors =
  (size: number) =>
  (b: GraphBuilder): Value[] => [b.weight("gamma", [size]), b.weight("beta", [size])];
const scale =
  (...shape: number[]) =>
  (b: GraphBuilder): Value[] => [b.weight("gamma", shape)];

const image: Shape = ["batch", 6, "height", "width"];
const kernel = { kernel_shape: ints([3, 2]) };
const flag =
  (value: number) =>
  (b: GraphBuilder): (Value | undefined)[] => [
    undefined,
    b.graph.addInitializer("training", tensorOf("bool", [], [value])),
  ];

const samples: readonly Sample[] = [
  { op: "InstanceNormalization", shape: image, inputs: vectors(6) },
  {
    op: "InstanceNormalization",
    shape: [2, 3, "n"],
    inputs: vectors(3),
    attributes: { epsilon: float(0.1) },
  },
  { op: "InstanceNormalization", shape: [2, 3, 4, 2, 3], inputs: vectors(3) },
  ...[image, [2, 6, 3, 4], ["batch", 6, "n"]].flatMap((shape): Sample[] => [
    { op: "GroupNormalization", shape, inputs: vectors(3), attributes: { num_groups: int(3) } },
    { op: "GroupNormalization", shape, inputs: vectors(6), attributes: { num_groups: int(3) }, opset: 21 },
    { op: "GroupNormalization", shape, inputs: vectors(6), attributes: { num_groups: int(6) } },
  ]),
  { op: "MeanVarianceNormalization", shape: image },
  { op: "MeanVarianceNormalization", shape: [3, 4, 5], attributes: { axes: ints([1, 2]) } },
  { op: "LpNormalization", shape: image },
  { op: "LpNormalization", shape: [3, "n", 5], attributes: { axis: int(1), p: int(1) } },
  { op: "LRN", shape: image, attributes: { size: int(3) } },
  {
    op: "LRN",
    shape: [2, 7, 3, 4],
    attributes: { size: int(5), alpha: float(0.5), beta: float(0.6), bias: float(2) },
  },
  { op: "RMSNormalization", shape: ["batch", "n", 6], inputs: scale(6), opset: 23 },
  { op: "RMSNormalization", shape: [2, 3, 4], inputs: scale(3, 4), attributes: { axis: int(1) }, opset: 23 },
  {
    op: "SimplifiedLayerNormalization",
    shape: ["batch", "n", 6],
    inputs: scale(6),
    attributes: { axis: int(-1), epsilon: float(1e-3), stash_type: int(1) },
    outputs: 2,
  },
  { op: "SimplifiedLayerNormalization", shape: ["batch", "n", 6], inputs: scale(6) },
  { op: "GlobalAveragePool", shape: image },
  { op: "GlobalMaxPool", shape: [2, 3, "n"] },
  ...[1, 2, 3].map((p): Sample => ({ op: "GlobalLpPool", shape: image, attributes: { p: int(p) } })),
  ...[1, 2, 3].map(
    (p): Sample => ({
      op: "LpPool",
      shape: [2, 3, 6, 7],
      attributes: { ...kernel, p: int(p), strides: ints([2, 1]), pads: ints([1, 0, 0, 1]) },
    }),
  ),
  { op: "LpPool", shape: [2, 3, 6, 7], attributes: { ...kernel, auto_pad: string("SAME_UPPER") } },
  { op: "LpPool", shape: [2, 3, 6, 7], attributes: { ...kernel, dilations: ints([1, 1]) } },
  { op: "Dropout", shape: image, outputs: 2 },
  { op: "Dropout", shape: [2, 3], inputs: flag(0), outputs: 2 },
  { op: "Dropout", shape: [2, 3], inputs: flag(0) },
  { op: "CastLike", shape: [2, 3], inputs: (b) => [b.integers("like", [1])] },
];

function build({ op, shape, attributes = {}, inputs = () => [], outputs = 1, opset = 18 }: Sample) {
  const b = new GraphBuilder(3, opset);
  const x = b.input("x", shape);
  const node = b.graph.addNode({ op, inputs: [x, ...inputs(b)], attributes, outputs, name: "node" });
  return b.output(...node.outputs.map((value) => value!));
}

describe("standardDecompositions", () => {
  test.each(samples)("$op of $shape with $attributes computes the same", async (sample) => {
    const graph = build(sample);
    const feeds = randomFeeds(graph, 5, () => 4);
    const expected = await outputsOf(graph, feeds);
    const names = graph.outputs.map(({ name }) => name);
    expect(decompose(graph, standardDecompositions)).toBe(1);
    checkGraph(graph);
    expect(graph.outputs.map(({ name }) => name)).toEqual(names);
    expect(graph.nodes().filter((node) => ruleOf(standardDecompositions, node))).toEqual([]);
    expect(outputDifference(await outputsOf(graph, feeds), expected)).toBeLessThan(2e-6);
  });

  test("every row has a sample", () => {
    const sampled = new Set(samples.map(({ op }) => op));
    const rows = Object.keys(standardDecompositions).map((key) => key.replace("com.microsoft.", ""));
    expect(rows.filter((op) => !sampled.has(op))).toEqual([]);
  });

  test("LpNormalization gives 0 where the norm is 0", async () => {
    const graph = build({ op: "LpNormalization", shape: [2, 3] });
    const feeds = { x: tensorOf("float32", [2, 3], [0, 0, 0, 3, 0, 4]) };
    const expected = await outputsOf(graph, feeds);
    decompose(graph, standardDecompositions);
    expect(outputDifference(await outputsOf(graph, feeds), expected)).toBeLessThan(2e-6);
  });

  test("statistics that nobody wants are not built", () => {
    const graph = build({ op: "SimplifiedLayerNormalization", shape: [2, 3], inputs: scale(3), outputs: 2 });
    graph.setOutputs(graph.outputs.slice(0, 1));
    decompose(graph, standardDecompositions);
    expect(String(graph)).toMatchInlineSnapshot(`
      "graph "test" (ai.onnx 18)
        input %x: float32[2, 3]
        const %gamma: float32[3]
        const %training/constant: int64[1]
        const %training/constant_1: float32[]
        %training/Mul: float32[2, 3] = Mul(%x, %x)
        %training/ReduceMean: float32[2, 1] = ReduceMean(%training/Mul, %training/constant) {keepdims: 1}
        %training/Add: float32[2, 1] = Add(%training/ReduceMean, %training/constant_1)
        %training/Sqrt: float32[2, 1] = Sqrt(%training/Add)
        %training/Reciprocal: float32[2, 1] = Reciprocal(%training/Sqrt)
        %training/Mul_2: float32[2, 3] = Mul(%x, %training/Reciprocal)
        %node_output_0: float32[2, 3] = Mul(%training/Mul_2, %gamma)
        return %node_output_0"
    `);
  });

  test.each([
    [{ op: "LpPool", shape: image, attributes: { ...kernel, ceil_mode: int(1) } }, "past the padding"],
    [{ op: "LpPool", shape: image, attributes: { ...kernel, dilations: ints([2, 1]) } }, "dilated"],
    [{ op: "Dropout", shape: image, inputs: flag(1) }, "at random"],
  ] as const)("refuses %o", (sample, message) => {
    const graph = build(sample);
    expect(() => decompose(graph, standardDecompositions)).toThrow(
      expect.objectContaining({ code: "UNSUPPORTED", message: expect.stringContaining(message) }),
    );
  });
});
