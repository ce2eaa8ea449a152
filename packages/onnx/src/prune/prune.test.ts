import { makePlan, type PlannedAxis, type PrunePlan } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { bert } from "../../test/models/bert.ts";
import { int, ints, float } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { fingerprint, mask } from "./mask.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune, type PruneOptions, type PruneReport } from "./prune.ts";

/** A plan that removes groups of axes, given as `tensor: [axis, dead groups, block size]`. */
function planOf(
  graph: Graph,
  dead: Readonly<Record<string, readonly [axis: number, groups: readonly number[], blockSize?: number]>>,
): PrunePlan {
  const axes = Object.entries(dead).map(([tensor, [axis, groups, blockSize = 1]]): PlannedAxis => {
    const size = graph.value(tensor)!.data!.shape[axis]! / blockSize;
    const kept = Array.from({ length: size }, (_, i) => i).filter((i) => !groups.includes(i));
    return { site: tensor, tensor, axis, size, blockSize, kept };
  });
  return makePlan({ fingerprint: fingerprint(graph), axes });
}

/** Prunes, proves that masked and pruned are the same, and gives the result. */
async function pruneAndProve(
  graph: Graph,
  plan: PrunePlan,
  options: PruneOptions = {},
): Promise<{ graph: Graph; report: PruneReport }> {
  const before = String(graph);
  const result = prune(graph, plan, options);
  const { maxRelDiff } = await verify(mask(graph, plan), result.graph, { inputs: result.report.inputs });
  expect(maxRelDiff).toBeLessThan(2e-6);
  expect(String(graph)).toBe(before);
  return result;
}

const shapeOf = (graph: Graph, tensor: string): readonly number[] | undefined =>
  graph.value(tensor)?.data?.shape;

function mlp(activation: string): Graph {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 6]);
  const hidden = net.op(activation, [net.gemm("fc1", x, [6, 8])]);
  return net.output(net.gemm("fc2", hidden, [8, 3]));
}

const features = (): Graph => {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 4, 4]);
  const flat = net.reshape(x, [0, 16]);
  const hidden = net.op("Relu", [net.gemm("fc1", flat, [16, 8])]);
  return net.output(net.gemm("fc2", hidden, [8, 3]));
};

const residual = (bias: boolean): Graph => {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 3, 6, 6]);
  const stem = net.op("Relu", [net.conv("stem", x, [3, 8])]);
  const inner = net.op("Relu", [net.conv("inner", stem, [8, 8], { pads: [1, 1, 1, 1] })]);
  const branch = net.conv("branch", inner, [8, 8], { pads: [1, 1, 1, 1], bias });
  const sum = net.op("Relu", [net.op("Add", [stem, branch])]);
  return net.output(net.op("GlobalAveragePool", [net.conv("head", sum, [8, 4])]));
};

describe("constants of removed channels", () => {
  test.each([
    "Relu",
    "Sigmoid",
    "Tanh",
    "Elu",
    "Selu",
    "Softplus",
    "Softsign",
    "LeakyRelu",
    "HardSigmoid",
    "Erf",
  ])("%s of a dead neuron's bias is folded into the next bias", async (activation) => {
    const graph = mlp(activation);
    const { graph: pruned, report } = await pruneAndProve(
      graph,
      planOf(graph, { "fc1/kernel": [1, [0, 3, 7]] }),
    );
    expect(shapeOf(pruned, "fc1/kernel")).toEqual([6, 5]);
    expect(shapeOf(pruned, "fc1/bias")).toEqual([5]);
    expect(shapeOf(pruned, "fc2/kernel")).toEqual([5, 3]);
    expect(report.removed).toEqual([{ site: "fc1/kernel", groups: 8, kept: 5 }]);
    expect(report.keptBack).toEqual([]);
  });

  test("a missing bias is created, after a MatMul too, and the model output keeps its name", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 4, 6]);
    const hidden = net.op("Tanh", [net.matmul("fc1", x, [6, 8])]);
    const graph = net.output(net.matmul("fc2", hidden, [8, 3], false));
    const { graph: pruned } = await pruneAndProve(graph, planOf(graph, { "fc1/kernel": [1, [1, 2]] }));
    expect(shapeOf(pruned, "fc2.bias")).toEqual([3]);
    expect(pruned.outputs.map(({ name }) => name)).toEqual(graph.outputs.map(({ name }) => name));
  });

  test("α, β and transposed operands of Gemm are followed", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 6]);
    const hidden = net.op("Sigmoid", [net.gemm("fc1", x, [6, 8], { transB: true })]);
    const w = net.weight("fc2/kernel", [3, 8]);
    const y = net.op("Gemm", [hidden, w, net.weight("fc2/bias", [1, 3])], {
      alpha: float(0.5),
      beta: float(3),
      transB: int(1),
    });
    const { graph: pruned } = await pruneAndProve(
      net.output(y),
      planOf(net.graph, { "fc1/kernel": [0, [0, 5]] }),
    );
    expect(shapeOf(pruned, "fc1/kernel")).toEqual([6, 6]);
    expect(shapeOf(pruned, "fc2/kernel")).toEqual([3, 6]);
  });

  test("batch normalisation and pooling without padding are followed", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 2, 9, 9]);
    const conv = net.op("Relu", [net.batchNorm("bn", net.conv("c1", x, [2, 6]), 6)]);
    const pooled = net.op("AveragePool", [conv], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) });
    const graph = net.output(net.op("GlobalMaxPool", [net.conv("c2", pooled, [6, 4])]));
    const { report } = await pruneAndProve(graph, planOf(graph, { "c1/kernel": [0, [1, 4]] }));
    expect(report.removed).toEqual([{ site: "c1/kernel", groups: 6, kept: 4 }]);
  });

  test("a constant that reaches zero padding keeps its channel, with the reason", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 2, 6, 6]);
    const hidden = net.op("Sigmoid", [net.conv("c1", x, [2, 5])]);
    const graph = net.output(net.conv("c2", hidden, [5, 3], { pads: [1, 1, 1, 1] }));
    const { report, graph: pruned } = await pruneAndProve(graph, planOf(graph, { "c1/kernel": [0, [2]] }));
    expect(shapeOf(pruned, "c1/kernel")).toEqual([5, 2, 3, 3]);
    expect(report.keptBack).toHaveLength(1);
    expect(report.keptBack[0]).toMatchObject({ site: "c1/kernel", groups: [2] });
    expect(report.keptBack[0]!.reason).toMatch(/emits the constant .* Conv "c2" pads with zeros/);
  });

  test("padding counted by an average keeps a constant channel, padding left out lets it go", async () => {
    for (const counted of [1, 0]) {
      const net = new GraphBuilder();
      const hidden = net.op("Sigmoid", [net.conv("c1", net.input("x", ["batch", 2, 6, 6]), [2, 5])]);
      const window = {
        kernel_shape: ints([3, 3]),
        pads: ints([1, 1, 1, 1]),
        count_include_pad: int(counted),
      };
      const graph = net.output(net.conv("c2", net.op("AveragePool", [hidden], window), [5, 3]));
      const { report } = await pruneAndProve(graph, planOf(graph, { "c1/kernel": [0, [2]] }));
      expect(report.keptBack.map(({ groups }) => groups)).toEqual(counted === 1 ? [[2]] : []);
    }
  });

  test("with its bias planned too, the channel emits nothing and goes", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 2, 6, 6]);
    const hidden = net.op("Relu", [net.conv("c1", x, [2, 5])]);
    const graph = net.output(net.conv("c2", hidden, [5, 3], { pads: [1, 1, 1, 1] }));
    const plan = planOf(graph, { "c1/kernel": [0, [2]], "c1/bias": [0, [2]] });
    const { report } = await pruneAndProve(graph, plan);
    expect(report.keptBack).toEqual([]);
    expect(report.after.parameters).toBe(report.before.parameters - (2 * 9 + 1) - 3 * 9);
  });
});

describe("coupled channels", () => {
  test("channels are followed through a flatten, before and after a transpose", async () => {
    for (const channelsLast of [false, true]) {
      const net = new GraphBuilder();
      const x = net.input("x", ["batch", 1, 6, 6]);
      const hidden = net.op("Relu", [net.conv("c1", x, [1, 5])]);
      const moved = channelsLast ? net.transpose(hidden, [0, 2, 3, 1]) : hidden;
      const flat = net.op("Flatten", [moved]);
      const graph = net.output(net.gemm("fc", flat, [80, 4]));
      const { graph: pruned } = await pruneAndProve(graph, planOf(graph, { "c1/kernel": [0, [0, 3]] }));
      expect(shapeOf(pruned, "fc/kernel")).toEqual([48, 4]);
    }
  });

  test("features of a flatten that are not whole channels stay, with the reason", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 1, 6, 6]);
    const flat = net.op("Flatten", [net.conv("c1", x, [1, 5])]);
    const graph = net.output(net.gemm("fc", flat, [80, 4]));
    // Features 0 to 15 are channel 0; 20 and 21 are part of channel 1.
    const dead = [...Array.from({ length: 16 }, (_, i) => i), 20, 21];
    const { graph: pruned, report } = await pruneAndProve(graph, planOf(graph, { "fc/kernel": [0, dead] }));
    expect(shapeOf(pruned, "c1/kernel")).toEqual([4, 1, 3, 3]);
    // Counted in channels, which is what can go.
    expect(report.removed).toEqual([{ site: "fc/kernel", groups: 80, kept: 64 }]);
    expect(report.keptBack[0]).toMatchObject({ groups: [20, 21] });
    expect(report.keptBack[0]!.reason).toMatch(/only go together/);
  });

  test("a dead branch that may be the longer operand of a sum stays", async () => {
    const net = new GraphBuilder();
    const short = net.gemm("short", net.input("x", ["one", 3]), [3, 4]);
    const long = net.op(
      "MatMul",
      [net.input("y", ["many", 3]), net.weight("long/kernel", [3, 4])],
      {},
      "long",
    );
    const graph = net.output(net.op("Tanh", [net.op("Add", [short, long])]));
    const whole = { site: "long", tensor: "long/kernel", axis: 1, size: 1, blockSize: 4, kept: [] };
    const plan = makePlan({ fingerprint: fingerprint(graph), axes: [whole] });
    const { graph: pruned } = prune(graph, plan);
    const dims = { one: 1, many: 5 };
    expect((await verify(mask(graph, plan), pruned, { dims, runs: 1 })).maxRelDiff).toBeLessThan(1e-6);
  });

  test("in a residual sum a channel goes only if both branches are dead there", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 3, 6, 6]);
    const stem = net.conv("stem", x, [3, 8]);
    const branch = net.conv("branch", net.op("Relu", [stem]), [8, 8], { kernel: [1, 1] });
    const sum = net.op("Relu", [net.op("Add", [stem, branch])]);
    const graph = net.output(net.op("GlobalAveragePool", [net.conv("head", sum, [8, 4])]));
    const plan = planOf(graph, { "stem/kernel": [0, [1, 2, 3]], "branch/kernel": [0, [2, 3, 4]] });
    const { graph: pruned, report } = await pruneAndProve(graph, plan);
    expect(shapeOf(pruned, "stem/kernel")).toEqual([6, 3, 3, 3]);
    expect(shapeOf(pruned, "branch/kernel")).toEqual([6, 6, 1, 1]);
    expect(shapeOf(pruned, "head/kernel")).toEqual([4, 6, 3, 3]);
    expect(report.keptBack.map(({ site, groups }) => [site, groups])).toEqual([
      ["branch/kernel", [4]],
      ["stem/kernel", [1]],
    ]);
    expect(report.keptBack[0]!.reason).toMatch(/another producer of the same channel is alive/);
  });

  test("concatenated channels keep their own offsets", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 3, 5, 5]);
    const parts = [net.conv("a", x, [3, 4]), net.conv("b", x, [3, 6])];
    const joined = net.op("Relu", [net.op("Concat", parts, { axis: int(1) })]);
    const graph = net.output(net.gemm("fc", net.op("Flatten", [joined]), [90, 2]));
    const plan = planOf(graph, { "a/kernel": [0, [3]], "b/kernel": [0, [0, 5]] });
    const { graph: pruned } = await pruneAndProve(graph, plan);
    expect(shapeOf(pruned, "fc/kernel")).toEqual([63, 2]);
  });

  test("a depthwise filter goes with the channel that it filters, and the group count follows", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 3, 7, 7]);
    const pointwise = net.op("Relu", [net.conv("pw", x, [3, 8], { kernel: [1, 1] })]);
    const depthwise = net.conv("dw", pointwise, [8, 16], { group: 8 });
    const graph = net.output(net.conv("head", depthwise, [16, 4], { kernel: [1, 1] }));
    const { graph: pruned } = await pruneAndProve(graph, planOf(graph, { "pw/kernel": [0, [2, 5, 6]] }));
    expect(shapeOf(pruned, "dw/kernel")).toEqual([10, 1, 3, 3]);
    expect(shapeOf(pruned, "head/kernel")).toEqual([4, 10, 1, 1]);
    expect(pruned.nodes("Conv").map((node) => node.attributes.get("group"))).toContainEqual(int(5));
  });

  test("a filter of a grouped convolution goes if its peers in all groups go", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 4, 7, 7]);
    const grouped = net.conv("grouped", net.op("Relu", [net.conv("c1", x, [4, 8])]), [8, 6], { group: 2 });
    const graph = net.output(net.conv("head", grouped, [6, 4], { kernel: [1, 1] }));
    // Channels 1 and 5 are index 1 of both groups; filter 0 alone has a living peer, filter 3.
    const plan = planOf(graph, { "c1/kernel": [0, [1, 5, 6]], "grouped/kernel": [0, [0]] });
    const { graph: pruned, report } = await pruneAndProve(graph, plan);
    expect(shapeOf(pruned, "c1/kernel")).toEqual([6, 4, 3, 3]);
    expect(shapeOf(pruned, "grouped/kernel")).toEqual([6, 3, 3, 3]);
    expect(report.keptBack.map(({ site, groups }) => [site, groups])).toEqual([
      ["c1/kernel", [6]],
      ["grouped/kernel", [0]],
    ]);
  });

  test("transposed convolution, upsampling and PRelu follow their channels", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 2, 4, 4]);
    const hidden = net.op("PRelu", [
      net.conv("c1", x, [2, 6], { bias: false }),
      net.weight("slope", [6, 1, 1]),
    ]);
    const up = net.convTranspose("up", hidden, [6, 5], { strides: [2, 2] });
    const scales = net.graph.addInitializer("scales", tensorOf("float32", [4], [1, 1, 2, 2]));
    const resized = net.op("Resize", [up, undefined, scales]);
    const graph = net.output(net.conv("head", resized, [5, 2]));
    const plan = planOf(graph, { "c1/kernel": [0, [1, 4]], "up/kernel": [1, [0]] });
    const { graph: pruned } = await pruneAndProve(graph, plan);
    expect(shapeOf(pruned, "slope")).toEqual([4, 1, 1]);
    expect(shapeOf(pruned, "up/kernel")).toEqual([4, 4, 2, 2]);
    expect(shapeOf(pruned, "head/kernel")).toEqual([2, 4, 3, 3]);
  });

  test("dimensions of an embedding go with what reads them", async () => {
    const net = new GraphBuilder();
    const ids = net.input("ids", ["batch", 5], "int64");
    const embedded = net.op("Gather", [net.weight("table", [20, 8]), ids], {}, "embedding");
    const mean = net.op("ReduceMean", [embedded], { axes: ints([1]), keepdims: int(0) });
    const graph = net.output(net.gemm("fc", mean, [8, 3]));
    const { graph: pruned } = await pruneAndProve(graph, planOf(graph, { table: [1, [0, 1, 7]] }));
    expect(shapeOf(pruned, "table")).toEqual([20, 5]);
    expect(findSites(graph).map(({ name, groups }) => [name, groups])).toContainEqual([
      "embedding.dimensions",
      8,
    ]);
  });

  test("attention heads go with their queries, keys, values, output rows and reshapes", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 5, 12]);
    const heads = (name: string): Value => {
      const split = net.reshape(net.matmul(name, x, [12, 12]), [0, 0, 3, 4], `${name}/split`);
      return net.transpose(split, [0, 2, 1, 3]);
    };
    const scores = net.op("MatMul", [heads("q"), net.transpose(heads("k"), [0, 1, 3, 2])]);
    const context = net.transpose(net.op("MatMul", [net.op("Softmax", [scores]), heads("v")]), [0, 2, 1, 3]);
    const graph = net.output(net.matmul("o", net.reshape(context, [0, -1, 12], "merge"), [12, 8]));
    const plan = planOf(graph, { "v/kernel": [1, [1], 4], "v/bias": [0, [1], 4] });
    const { graph: pruned, report } = await pruneAndProve(graph, plan);
    expect(report.removed).toContainEqual({ site: "v/kernel", groups: 3, kept: 2 });
    for (const name of ["q", "k", "v"]) expect(shapeOf(pruned, `${name}/kernel`)).toEqual([12, 8]);
    expect(shapeOf(pruned, "o/kernel")).toEqual([8, 8]);
  });

  test("a tied weight is cut once for all its uses", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 6]);
    const a = net.gemm("fc1", x, [6, 6]);
    const shared = net.graph.value("fc1/kernel")!;
    const graph = net.output(net.op("Gemm", [net.op("Relu", [a]), shared]));
    // Its output axis is the model's output as well: nothing may go.
    const { report } = await pruneAndProve(graph, planOf(graph, { "fc1/kernel": [1, [2]] }));
    expect(report.keptBack[0]!.reason).toMatch(/is an output of the model/);
  });
});

describe("input features", () => {
  test("a pruned model takes full inputs and picks what it reads", async () => {
    const graph = features();
    const dead = [0, 1, 2, 3, 5, 7, 11];
    const { graph: pruned, report } = await pruneAndProve(graph, planOf(graph, { "fc1/kernel": [0, dead] }));
    expect(shapeOf(pruned, "fc1/kernel")).toEqual([9, 8]);
    expect(report.inputs).toEqual([
      { name: "x", node: "fc1", axis: 1, size: 16, kept: [4, 6, 8, 9, 10, 12, 13, 14, 15], mode: "gather" },
    ]);
    expect(pruned.inputs[0]!.type!.shape).toEqual(["batch", 4, 4]);
  });

  test("pruning a second time shortens the same list of features", async () => {
    const graph = features();
    const once = prune(graph, planOf(graph, { "fc1/kernel": [0, [0, 1]] })).graph;
    const { graph: twice } = await pruneAndProve(once, planOf(once, { "fc1/kernel": [0, [0]] }));
    expect(twice.nodes("Gather")).toHaveLength(1);
    expect(shapeOf(twice, "fc1/kernel")).toEqual([13, 8]);
  });

  test("the input itself shrinks on request, scaled features included", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 6]);
    const graph = net.output(net.gemm("fc", net.batchNorm("bn", x, 6), [6, 3]));
    const plan = planOf(graph, { "fc/kernel": [0, [1, 4]] });
    const resized = await pruneAndProve(graph, plan, { inputs: "resize" });
    expect(resized.graph.inputs[0]!.type!.shape).toEqual(["batch", 4]);
    expect(resized.report.inputs).toEqual([
      { name: "x", node: undefined, axis: 1, size: 6, kept: [0, 2, 3, 5], mode: "resize" },
    ]);
    const gathered = await pruneAndProve(graph, plan);
    expect(gathered.graph.inputs[0]!.type!.shape).toEqual(["batch", 6]);
    expect(shapeOf(gathered.graph, "bn/gamma")).toEqual([4]);
  });
});

describe("whole layers", () => {
  test("a dead residual branch disappears with all its nodes", async () => {
    const graph = residual(false);
    const { graph: pruned, report } = await pruneAndProve(
      graph,
      planOf(graph, { "branch/kernel": [0, [0], 8] }),
    );
    expect(pruned.nodes("Conv").map(({ name }) => name)).toEqual(["stem", "head"]);
    expect(pruned.nodes("Add")).toEqual([]);
    expect(report.removed).toEqual([{ site: "branch/kernel", groups: 1, kept: 0 }]);
  });

  test("the constant that a dead branch emits stays as one number per channel", async () => {
    const graph = residual(true);
    const { graph: pruned } = await pruneAndProve(graph, planOf(graph, { "branch/kernel": [0, [0], 8] }));
    expect(pruned.nodes("Conv").map(({ name }) => name)).toEqual(["stem", "head"]);
    expect(pruned.nodes("Add")[0]!.inputs[1]!.data!.shape).toEqual([1, 8, 1, 1]);
  });

  test("one channel of a dead chain stays, so that no axis is empty", async () => {
    const graph = mlp("Relu");
    const plan = planOf(graph, { "fc1/kernel": [1, [0], 8] });
    const { graph: pruned, report } = await pruneAndProve(graph, plan);
    expect(shapeOf(pruned, "fc1/kernel")).toEqual([6, 1]);
    expect(report.keptBack[0]!.reason).toBe("one channel has to stay");
  });
});

describe("plans", () => {
  test("a plan for another model is refused", () => {
    const plan = planOf(mlp("Relu"), { "fc1/kernel": [1, [0]] });
    const net = new GraphBuilder();
    const other = net.output(net.gemm("fc1", net.input("x", [1, 6]), [6, 8]));
    expect(() => prune(other, plan)).toThrow(
      /the plan is for model .* Make the plan from this model's sites/,
    );
  });

  test("a tensor that is not there and an axis of another size are named", () => {
    const graph = mlp("Relu");
    const axis = { site: "s", axis: 0, size: 2, blockSize: 1, kept: [0] };
    const withTensor = (tensor: string): PrunePlan =>
      makePlan({ fingerprint: fingerprint(graph), axes: [{ ...axis, tensor }] });
    expect(() => mask(graph, withTensor("nowhere"))).toThrow(/site "s" names the tensor "nowhere"/);
    expect(() => mask(graph, withTensor("fc1/kernel"))).toThrow(
      /has 2 groups of 1 on axis 0 of "fc1\/kernel", which is \[6, 8\]/,
    );
  });

  test("the strongest groups of each site stay, biases go with them", async () => {
    const graph = mlp("Sigmoid");
    const sites = findSites(graph);
    const plan = planFrom(sites, { sparsity: 0.5 });
    expect(plan.axes.map(({ tensor, kept }) => [tensor, kept.length])).toEqual([
      ["fc1/bias", 4],
      ["fc1/kernel", 4],
    ]);
    const norms = sites.find(({ name }) => name === "fc1.neurons")!.norms();
    const weakest = Math.min(...plan.axes[1]!.kept.map((j) => norms[j]!));
    const others = norms.filter((_, j) => !plan.axes[1]!.kept.includes(j));
    expect(Math.max(...others)).toBeLessThanOrEqual(weakest);
    await pruneAndProve(graph, plan);
  });

  test("options out of range, unknown sites and sites that cannot be pruned are refused with the reason", () => {
    const sites = findSites(mlp("Relu"));
    expect(() => planFrom(sites, {})).toThrow(/give one of keep, sparsity, kept/);
    expect(() => planFrom(sites, { sparsity: 1 })).toThrow(
      /sparsity is the fraction that goes, from 0 to below 1, got 1/,
    );
    expect(() => planFrom(sites, { keep: Number.NaN })).toThrow(
      /keep is the fraction that stays, above 0 and at most 1, got NaN/,
    );
    expect(() => planFrom(sites, { keep: 0.5, sites: ["heads"] })).toThrow(
      /no site is called "heads".*kinds inputs, neurons, with fc1.inputs, fc1.neurons/,
    );
    expect(() => planFrom(sites, { keep: 0.5, sites: ["fc2.neurons"] })).toThrow(/is an output of the model/);
    // From JavaScript: a kind that is no list, and a graph in the place of its sites.
    expect(() => planFrom(sites, { keep: 0.5, sites: "heads" as unknown as string[] })).toThrow(
      /as a list of names/,
    );
    expect(() => planFrom(mlp("Relu") as never, { keep: 0.5 })).toThrow(/the list that findSites gives/);
    expect(() => planFrom(sites, { kept: { "fc1.neurons": [0, 8] } })).toThrow(/8 groups \(0 to 7\), not 8/);
  });
});

test("what leads to no output does not enter the fingerprint", () => {
  const { graph } = bert();
  const before = fingerprint(graph);
  const [states] = graph.outputs;
  const weight = graph.addInitializer("dead.weight", tensorOf("float32", [16, 2], Array(32).fill(1)));
  graph.addNode({ op: "MatMul", inputs: [states, weight], outputs: [graph.addValue("dead")] });
  expect(fingerprint(graph)).toBe(before);
  graph.addOutput(graph.value("dead")!);
  expect(fingerprint(graph)).not.toBe(before);
});

test("masking copies a weight whose content is a Buffer", () => {
  const net = new GraphBuilder(1);
  const hidden = net.op("Relu", [net.gemm("a", net.input("x", ["batch", 4]), [4, 6])]);
  const graph = net.output(net.gemm("b", hidden, [6, 2]));
  const weight = graph.value("a/kernel")!;
  weight.data = { ...weight.data!, bytes: Buffer.from(weight.data!.bytes) };
  const before = [...weight.data.bytes];
  const masked = mask(graph, planFrom(findSites(graph), { keep: 0.5 }));
  expect([...weight.data.bytes]).toEqual(before);
  expect([...masked.value("a/kernel")!.data!.bytes]).not.toEqual(before);
});

test("a mean over channels that is an output of the model keeps its name and what it is", async () => {
  const net = new GraphBuilder();
  const hidden = net.op("Relu", [net.gemm("fc", net.input("x", ["batch", 4]), [4, 6])]);
  const mean = net.op("ReduceMean", [hidden], { axes: ints([1]), keepdims: int(0) }, "mean");
  const graph = net.output(mean);
  const { graph: pruned } = await pruneAndProve(graph, planFrom(findSites(graph), { sparsity: 0.5 }));
  expect(pruned.outputs.map(({ name }) => name)).toEqual(graph.outputs.map(({ name }) => name));
  expect(shapeOf(pruned, "fc/kernel")).toEqual([4, 3]);
});
