import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { transformerModels } from "../../test/models/models.ts";
import { feedsOf } from "../../test/models/transformer-model.ts";
import { randomFeeds } from "../../test/random-feeds.ts";
import { outputDifference, outputsOf } from "../../test/same-outputs.ts";
import { type Attribute, float, floats, int, ints, string, tensor } from "../graph/attribute.ts";
import { checkGraph } from "../graph/check-graph.ts";
import { Graph, type Value } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { upgradeOpset, upgradeTo } from "./upgrade-opset.ts";

interface OldModel {
  readonly name: string;
  readonly opset: number;
  readonly shape?: readonly (number | string)[];
  readonly outputs: (b: GraphBuilder, x: Value) => readonly Value[];
  readonly edits?: number;
}

const one = (
  op: string,
  opset: number,
  attributes: Record<string, Attribute> = {},
  inputs: (b: GraphBuilder) => readonly (Value | undefined)[] = () => [],
): OldModel => ({
  name: op,
  opset,
  outputs: (b, x) => [b.op(op, [x, ...inputs(b)], attributes)],
});

const scales =
  (values: readonly number[]) =>
  (b: GraphBuilder): Value[] => [b.graph.addInitializer("scales", tensorOf("float32", [4], values))];

const emptyInputs = (b: GraphBuilder): Value[] =>
  ["roi", "scales"].map((name) => b.graph.addInitializer(name, tensorOf("float32", [0], [])));

const reductions = ["L1", "L2", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare"];

const oldModels: readonly OldModel[] = [
  ...reductions.flatMap((kind) => [
    one(`Reduce${kind}`, 11, { axes: ints([-1, 1]) }),
    one(`Reduce${kind}`, 7, { axes: ints([2]), keepdims: int(0) }),
  ]),
  one("ReduceMax", 13, { axes: ints([0]) }),
  { ...one("ReduceMean", 17), edits: 0 },
  one("Unsqueeze", 7, { axes: ints([0, 3]) }),
  { ...one("Squeeze", 12, { axes: ints([0, -1]) }), shape: [1, 3, "n", 1] },
  { ...one("Squeeze", 8), shape: [1, 3, 2, 1], edits: 0 },
  {
    name: "Split by sizes",
    opset: 11,
    outputs: (b, x) => split(b, x, 2, { axis: int(1), split: ints([1, 2]) }),
  },
  { name: "Split in equal parts", opset: 7, outputs: (b, x) => split(b, x, 3, { axis: int(1) }) },
  { name: "Split in equal parts", opset: 13, outputs: (b, x) => split(b, x, 3, { axis: int(1) }) },
  one("Slice", 9, { starts: ints([1, -3]), ends: ints([2 ** 31 - 1, -1]), axes: ints([1, 2]) }),
  one("Slice", 7, { starts: ints([0, 1]), ends: ints([1, Number.MAX_SAFE_INTEGER]) }),
  one("Pad", 10, { pads: ints([0, 0, 1, 2, 0, 1, 0, 0]), value: float(-1.5) }),
  one("Pad", 7, { pads: ints([0, 0, 1, 2, 0, 0, 0, 3]), mode: string("reflect") }),
  one("Clip", 7, { min: float(-0.25), max: float(0.5) }),
  one("Clip", 10, { max: float(0.5) }),
  { ...one("Clip", 6 + 1), edits: 0 },
  { name: "TopK", opset: 9, outputs: (b, x) => topK(b, x, { k: int(2), axis: int(1) }) },
  one("Upsample", 8, { scales: floats([1, 1, 2, 3]) }),
  one("Upsample", 7, { scales: floats([1, 1, 2, 1.5]), mode: string("linear") }),
  one("Upsample", 9, { mode: string("nearest") }, scales([1, 1, 1.3, 2.6])),
  one("Resize", 10, { mode: string("nearest") }, scales([1, 1, 2.4, 1.7])),
  one("Resize", 10, {}, scales([1, 1, 0.6, 0.7])),
  one("Resize", 10, { mode: string("linear") }, scales([1, 1, 0.6, 1.7])),
  {
    name: "Resize with empty inputs",
    opset: 11,
    outputs: (b, x) => {
      return [
        b.op("Resize", [x, ...emptyInputs(b), b.integers("sizes", [2, 3, 7, 3])], { mode: string("cubic") }),
      ];
    },
  },
  {
    name: "Resize of TensorFlow's half pixels",
    opset: 11,
    outputs: (b, x) => {
      const modes = {
        coordinate_transformation_mode: string("tf_half_pixel_for_nn"),
        nearest_mode: string("floor"),
      };
      return [b.op("Resize", [x, ...emptyInputs(b), b.integers("sizes", [2, 3, 7, 3])], modes)];
    },
  },
  ...["Softmax", "LogSoftmax", "Hardmax"].flatMap((op) => [
    one(op, 7),
    one(op, 11, { axis: int(-2) }),
    one(op, 12, { axis: int(3) }),
    { ...one(op, 9, { axis: int(0) }), shape: ["batch", 3, "n", 5] },
    { ...one(op, 9), shape: ["batch", 3, 1, 1] },
    { ...one(op, 13, { axis: int(1) }), edits: 0 },
  ]),
  { name: "BatchNormalization", opset: 7, outputs: (b, x) => [b.batchNorm("bn", x, 3)], edits: 0 },
  { name: "Dropout", opset: 7, outputs: (b, x) => [b.op("Relu", [b.op("Dropout", [x])])] },
  {
    name: "Dropout of an output",
    opset: 10,
    outputs: (b, x) => [b.op("Dropout", [x], { ratio: float(0.4) })],
  },
  {
    name: "Scatter",
    opset: 9,
    outputs: (b, x) => {
      const at = b.graph.addInitializer("at", tensorOf("int64", [1, 2, 1, 1], [2, 0]));
      return [b.op("Scatter", [x, at, b.weight("updates", [1, 2, 1, 1])], { axis: int(1) })];
    },
  },
  {
    name: "a chain of old forms",
    opset: 9,
    outputs: (b, x) => {
      const soft = b.op("Softmax", [b.op("Dropout", [x])]);
      const clipped = b.op("Clip", [soft], { max: float(0.1) });
      return [b.op("ReduceSum", [b.op("Softmax", [clipped], { axis: int(2) })], { axes: ints([1]) })];
    },
  },
];

const split = (b: GraphBuilder, x: Value, parts: number, attributes: Record<string, Attribute>): Value[] =>
  b.graph.addNode({ op: "Split", inputs: [x], outputs: parts, attributes }).outputs.map((value) => value!);

const topK = (b: GraphBuilder, x: Value, attributes: Record<string, Attribute>): Value[] =>
  b.graph.addNode({ op: "TopK", inputs: [x], outputs: 2, attributes }).outputs.map((value) => value!);

/** A branch of an If that applies an operator to `x`, then Dropout. */
function branch(op: string, attributes: Record<string, Attribute>): Attribute {
  const inner = new Graph(op, [["", 9]]);
  const [middle, last] = ["middle", "last"].map((name) => inner.addValue(`${op}.${name}`));
  inner.addNode({ op, name: "clip", inputs: [inner.addOuter("x")], outputs: [middle], attributes });
  inner.addNode({ op: "Dropout", inputs: [middle], outputs: [last] });
  inner.addOutput(last!);
  return { kind: "graph", value: inner };
}

describe("upgradeOpset", () => {
  test.each(oldModels)("$name of opset $opset computes the same in opset 18", async (model) => {
    const b = new GraphBuilder(1, model.opset);
    const x = b.input("x", model.shape ?? [2, 3, 4, 5]);
    const graph = b.output(...model.outputs(b, x));
    const feeds = randomFeeds(graph, 1, () => 4);
    const expected = await outputsOf(graph, feeds);
    const edits = upgradeOpset(graph);
    expect(edits > 0).toBe(model.edits !== 0);
    checkGraph(graph);
    expect(graph.opsets.get("")).toBe(18);
    expect(outputDifference(await outputsOf(graph, feeds), expected)).toBe(0);
    expect(upgradeOpset(graph)).toBe(0);
  });

  test.each(transformerModels)("$name computes the same", async ({ build }) => {
    const model = build();
    const feeds = feedsOf(model, 1);
    const names = namesOf(model.graph);
    const expected = await outputsOf(model.graph, feeds);
    upgradeOpset(model.graph);
    expect(namesOf(model.graph)).toEqual(expect.arrayContaining(names));
    expect(outputDifference(await outputsOf(model.graph, feeds), expected)).toBeLessThan(1e-6);
  });

  test("what parameters become and what keeps its name", () => {
    const b = new GraphBuilder(1, 9);
    const x = b.input("x", ["batch", 3, 4, 4]);
    const up = b.op("Upsample", [x], { scales: floats([1, 1, 2, 2]) }, "up");
    const graph = b.output(b.op("ReduceSum", [up], { axes: ints([2, 3]), keepdims: int(0) }, "sum"));
    upgradeOpset(graph);
    expect(String(graph)).toMatchInlineSnapshot(`
      "graph "test" (ai.onnx 18)
        input %x: float32[batch, 3, 4, 4]
        const %up/scales: float32[4]
        const %sum/axes: int64[2]
        %up_output_0 = Resize(%x, _, %up/scales) {mode: "nearest", coordinate_transformation_mode: "asymmetric", nearest_mode: "floor"}
        %sum_output_0 = ReduceSum(%up_output_0, %sum/axes) {keepdims: 0}
        return %sum_output_0"
    `);
  });

  test("branches of an If are upgraded too, and names of the branch hide none outside", async () => {
    const b = new GraphBuilder(1, 9);
    const x = b.input("x", [2, 3, 4]);
    const other = b.op("Clip", [x], { min: float(0) }, "clip");
    const condition = b.graph.addInput("condition", { dtype: "bool", shape: [] });
    const branches = {
      then_branch: branch("Softmax", {}),
      else_branch: branch("Clip", { min: float(-0.5) }),
    };
    const graph = b.output(b.op("If", [condition], branches), other);
    const feeds = (data: number) => ({
      ...randomFeeds(graph, 1, () => 2),
      condition: tensorOf("bool", [], [data]),
    });
    const expected = [await outputsOf(graph, feeds(0)), await outputsOf(graph, feeds(1))];
    expect(upgradeOpset(graph)).toBe(5);
    checkGraph(graph);
    for (const i of [0, 1]) expect(outputDifference(await outputsOf(graph, feeds(i)), expected[i]!)).toBe(0);
  });

  test("the mask of an old Dropout is all true", async () => {
    const b = new GraphBuilder(1, 10);
    const x = b.input("x", ["n", 2]);
    const dropout = b.graph.addNode({ op: "Dropout", inputs: [x], outputs: 2 });
    const graph = b.output(...dropout.outputs.map((value) => value!));
    const names = graph.outputs.map(({ name }) => name);
    upgradeOpset(graph);
    const result = await outputsOf(
      graph,
      randomFeeds(graph, 1, () => 3),
    );
    expect(Object.keys(result)).toEqual(names);
    expect(result[names[1]!]).toEqual({ dtype: "bool", shape: [3, 2], data: new Uint8Array(6).fill(1) });
  });

  test("a file of IR 3 gets the IR version of opset 18, and its initializers stay constants", () => {
    const b = new GraphBuilder(1, 8);
    const graph = b.output(b.gemm("fc", b.input("x", [1, 2]), [2, 3]));
    graph.info = { ...graph.info, irVersion: 3 };
    for (const value of graph.initializers) graph.declareInput(value);
    upgradeOpset(graph);
    expect(graph.info.irVersion).toBe(8);
    expect(graph.inputs.map(({ name }) => name)).toEqual(["x"]);
  });

  test("a later operator set and other domains stay as they are", () => {
    const b = new GraphBuilder(1, 21);
    b.graph.opsets.set("com.microsoft", 1);
    const graph = b.output(b.op("ReduceSum", [b.input("x", [2])]));
    expect(upgradeOpset(graph)).toBe(0);
    expect([...graph.opsets]).toEqual([
      ["", 21],
      ["com.microsoft", 1],
    ]);
  });

  test("modes of GridSample and the axis of DFT are those of opset 20", async () => {
    const b = new GraphBuilder(1, 17);
    const x = b.input("x", [1, 1, 4, 4]);
    const grid = b.weight("grid", [1, 3, 3, 2], 0.5);
    const sampled = b.op("GridSample", [x, grid], { mode: string("bicubic") });
    const spectrum = b.op("DFT", [b.reshape(x, [1, 4, 4, 1])], { axis: int(2) });
    const graph = b.output(sampled, b.op("GridSample", [x, grid]), spectrum);
    const feeds = randomFeeds(graph, 1, () => 1);
    const expected = await outputsOf(graph, feeds);
    expect(upgradeTo(graph, 20)).toBe(3);
    expect(outputDifference(await outputsOf(graph, feeds), expected)).toBeLessThan(1e-6);
  });

  test.each<OldModel & { message: string }>([
    {
      ...one("Relu", 6),
      message:
        'graph "test" has opset 6, and training starts at opset 7; convert the model with ' +
        "onnx.version_converter or export it anew.",
    },
    {
      ...one("ImageScaler", 7),
      message:
        'ImageScaler "imagescaler_1" of opset 7 is an experimental operator; export the model with a newer opset.',
    },
    {
      ...one("Resize", 10, {}, scales([1, 1, 2, 0.5])),
      message:
        'Resize "resize_1" of opset 10 makes one axis larger and another smaller; export the model with a newer opset.',
    },
    {
      name: "BatchNormalization",
      opset: 9,
      outputs: (b, x) => {
        const { inputs } = b.graph.producer(b.batchNorm("bn", x, 3))!;
        const node = b.graph.addNode({ op: "BatchNormalization", inputs, outputs: 5, name: "train" });
        return [node.outputs[0]!];
      },
      message: `BatchNormalization "train" of opset 9 is written for training; export the model with a newer opset.`,
    },
  ])("refuses $name of opset $opset: $message", ({ opset, outputs, message }) => {
    const b = new GraphBuilder(1, opset);
    b.output(...outputs(b, b.input("x", [2, 3, 4, 5])));
    expect(() => upgradeOpset(b.graph)).toThrow(expect.objectContaining({ code: "UNSUPPORTED", message }));
  });
});

const namesOf = (graph: Graph): string[] =>
  [...graph.inputs, ...graph.outputs, ...graph.initializers].map(({ name }) => name);

test("a constant of a Constant node counts as one", async () => {
  const b = new GraphBuilder(1, 10);
  const x = b.input("x", [1, 1, 6, 6]);
  const factors = b.op("Constant", [], { value: tensor(tensorOf("float32", [4], [1, 1, 0.5, 0.4])) });
  const graph = b.output(b.op("Resize", [x, factors]));
  const feeds = randomFeeds(graph, 1, () => 1);
  const expected = await outputsOf(graph, feeds);
  upgradeOpset(graph);
  expect(outputDifference(await outputsOf(graph, feeds), expected)).toBe(0);
});
