import { describe, expect, test } from "vitest";
import { bert, bertBase } from "../../test/bert.ts";
import { GraphBuilder } from "../../test/graph-builder.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { costOfPlan } from "../plan/plan-cost.ts";
import { mask } from "../prune/mask.ts";
import { planFrom } from "../plan/plan-from.ts";
import type { PlanOptions } from "../plan/plan-options.ts";
import { prune } from "../prune/prune.ts";
import { verify } from "../verify/verify.ts";
import { findSites } from "./find-sites.ts";

const layersOf = (graph: Graph) => findSites(graph).filter(({ kind }) => kind === "layers");

const scaled = (graph: Graph, name: string, factor: number): void => {
  const value = graph.value(name)!;
  graph.setData(
    value,
    tensorOf(
      "float32",
      value.data!.shape,
      readNumbers(value.data!).map((x) => factor * x),
    ),
  );
};

/** A stem and basic blocks of ResNet: conv, BN, ReLU, conv, BN, Add, ReLU; `wide` downsamples through a convolution of its own. */
function resnet(blocks: readonly ("plain" | "wide")[], bias = false): Graph {
  const net = new GraphBuilder();
  const options = { pads: [1, 1, 1, 1], bias };
  let channels = 6;
  let x = net.op("Relu", [
    net.batchNorm("stem/bn", net.conv("stem", net.input("x", ["batch", 3, 8, 8]), [3, 6], options), 6),
  ]);
  blocks.forEach((kind, i) => {
    const name = `block${i}`;
    const out = kind === "wide" ? 2 * channels : channels;
    const stride = kind === "wide" ? { strides: [2, 2] } : {};
    const inner = net.op("Relu", [
      net.batchNorm(
        `${name}/bn1`,
        net.conv(`${name}/conv1`, x, [channels, out], { ...options, ...stride }),
        out,
      ),
    ]);
    const branch = net.batchNorm(`${name}/bn2`, net.conv(`${name}/conv2`, inner, [out, out], options), out);
    const skip =
      kind === "wide"
        ? net.batchNorm(
            `${name}/bn3`,
            net.conv(`${name}/down`, x, [channels, out], { kernel: [1, 1], ...stride }),
            out,
          )
        : x;
    x = net.op("Relu", [net.op("Add", [branch, skip])]);
    channels = out;
  });
  return net.output(net.gemm("fc", net.op("Flatten", [net.op("GlobalAveragePool", [x])]), [channels, 4]));
}

/** Prunes, proves masked equals pruned and the predicted cost the real one. */
async function pruneAndProve(graph: Graph, options: PlanOptions): Promise<ReturnType<typeof prune>> {
  const plan = planFrom(findSites(graph), options);
  const result = prune(graph, plan);
  expect((await verify(mask(graph, plan), result.graph)).maxRelDiff).toBeLessThan(1e-5);
  expect(costOfPlan(graph, plan)).toEqual(result.report.after);
  return result;
}

/** The last convolutions that are left of the branches. */
const left = (all: Graph) =>
  all
    .nodes("Conv")
    .map(({ name }) => name)
    .filter((name) => name.endsWith("conv2"));

describe("residual blocks of convolutions", () => {
  test("are sites where the skip is the branch's own input", () => {
    const sites = layersOf(resnet(["plain", "wide", "plain"]));
    expect(
      sites.map(({ name, tensor, axis, groups, blockSize, coupled }) => [
        name,
        `${tensor}[${axis}] ${groups} × ${blockSize}`,
        coupled.map((slice) => slice.tensor),
      ]),
    ).toEqual([
      ["block0/conv2.layer", "block0/conv2/kernel[0] 1 × 6", ["block0/bn2/gamma", "block0/bn2/beta"]],
      ["block2/conv2.layer", "block2/conv2/kernel[0] 1 × 12", ["block2/bn2/gamma", "block2/bn2/beta"]],
    ]);
  });

  test("are chosen on request only, and then the whole branch goes", async () => {
    const graph = resnet(["plain", "plain", "wide"], true);
    const byDefault = planFrom(findSites(graph), { keep: 0.5 });
    expect(byDefault.axes.filter(({ kept }) => kept.length === 0)).toEqual([]);
    const { graph: pruned, report } = await pruneAndProve(graph, { kept: { "block0/conv2.layer": [] } });
    expect(pruned.nodes("Conv").map(({ name }) => name)).toEqual([
      "stem",
      "block1/conv1",
      "block1/conv2",
      "block2/conv1",
      "block2/conv2",
      "block2/down",
    ]);
    expect(pruned.nodes("Add")).toHaveLength(2);
    expect(pruned.nodes("BatchNormalization")).toHaveLength(6);
    expect(report.removed).toContainEqual({ site: "block0/conv2.layer", groups: 1, kept: 0 });
  });

  test("of a ratio the weakest go: the score is what BatchNormalization leaves of the last weight", async () => {
    const graph = resnet(["plain", "plain", "plain"]);
    scaled(graph, "block1/bn2/gamma", 0.1);
    scaled(graph, "block0/conv2/kernel", 0.5);
    const { graph: pruned } = await pruneAndProve(graph, { keep: 2 / 3, sites: ["layers"] });
    expect(left(pruned)).toEqual(["block0/conv2", "block2/conv2"]);
    const further = await pruneAndProve(graph, { sparsity: 2 / 3, sites: ["layers"] });
    expect(left(further.graph)).toEqual(["block2/conv2"]);
    // Without norms to the rescue, one layer stays.
    const least = await pruneAndProve(graph, { sparsity: 0.99, sites: ["layers"] });
    expect(left(least.graph)).toHaveLength(1);
  });

  test("the score is ‖diag(γ/√(σ² + ε))·W‖ over the root of the channels", () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 2, 3, 3]);
    const w = net.graph.addInitializer("w", tensorOf("float32", [2, 2, 1, 1], [3, 4, 1, 0]));
    const constants = [
      [2, 0.5],
      [0, 0],
      [0, 0],
      [3, 0],
    ].map((numbers, i) => net.graph.addInitializer(`bn/${i}`, tensorOf("float32", [2], numbers)));
    const normal = net.op("BatchNormalization", [net.op("Conv", [x, w], {}, "conv"), ...constants], {
      epsilon: { kind: "float", value: 1 },
    });
    const [site] = layersOf(net.output(net.op("Relu", [net.op("Add", [x, normal])])));
    // Rows of norms 5 and 1; γ/√(σ² + ε) = 2/2 and 0.5/1.
    expect(site!.norms()[0]).toBeCloseTo(Math.sqrt((25 + 0.25) / 2), 12);
  });

  test("a branch whose biases stay leaves one number per channel, and the costs say so", async () => {
    const graph = resnet(["plain", "plain"]);
    const { graph: pruned } = await pruneAndProve(graph, {
      kept: { "block1/conv2.layer": [] },
      biases: false,
    });
    expect(pruned.nodes("Conv").map(({ name }) => name)).toEqual(["stem", "block0/conv1", "block0/conv2"]);
    expect(pruned.nodes("Add")).toHaveLength(2);
    // From the search too: the budget holds and is reached by the very same layer.
    const [before, after] = [
      costOfPlan(graph, planFrom(findSites(graph), { keep: 1 })),
      costOfPlan(graph, planFrom(findSites(graph), { kept: { "block1/conv2.layer": [] }, biases: false })),
    ];
    const budget = planFrom(findSites(graph), {
      parameters: after.parameters / before.parameters,
      sites: ["block1/conv2.layer", "block0/conv2.layer"],
      criterion: { "block0/conv2.layer": [2], "block1/conv2.layer": [1] },
      biases: false,
    });
    expect(budget.axes.map(({ tensor }) => tensor)).toEqual(["block1/conv2/kernel"]);
  });

  test("a budget goes to layers and filters alike", async () => {
    const graph = resnet(["plain", "wide", "plain", "plain"]);
    const { report, graph: pruned } = await pruneAndProve(graph, {
      macs: 0.35,
      sites: ["layers", "filters"],
    });
    expect(report.after.macs / report.before.macs).toBeLessThanOrEqual(0.35);
    expect(pruned.nodes("Add").length).toBeLessThan(4);
  });
});

describe("transformer blocks", () => {
  const graph = bert({ ...bertBase, layers: 3, width: 24, heads: 4, ffn: 40, vocabulary: 60, positions: 16 });

  test("of attention and of the FFN are sites, between LayerNormalizations", () => {
    expect(layersOf(graph).map(({ name, prunable }) => [name, prunable])).toEqual(
      [0, 1, 2].flatMap((i) => [
        [`layer.${i}.attention.output.layer`, true],
        [`layer.${i}.output.layer`, true],
      ]),
    );
  });

  test("go as a whole, attention with its queries, keys, values and scores", async () => {
    const { graph: pruned } = await pruneAndProve(graph, {
      kept: { "layer.1.attention.output.layer": [], "layer.2.output.layer": [] },
    });
    const names = pruned.nodes("MatMul").map(({ name }) => name);
    expect(names.filter((name) => name.startsWith("layer.1."))).toEqual([
      "layer.1.intermediate",
      "layer.1.output",
    ]);
    expect(names.filter((name) => name.startsWith("layer.2."))).toEqual(
      ["query", "key", "value", "output"].map((part) => `layer.2.attention.${part}`),
    );
    expect(pruned.nodes("Softmax")).toHaveLength(2);
    expect(pruned.nodes("LayerNormalization")).toHaveLength(7);
  });

  test("with heads and neurons planned beside them, everything goes at once", async () => {
    const { report } = await pruneAndProve(graph, {
      parameters: 0.5,
      sites: ["layers", "heads", "neurons"],
      dims: { batch: 1 },
    });
    expect(report.after.parameters / report.before.parameters).toBeLessThanOrEqual(0.5);
  });
});

/** The layer sites of a network around one input. */
const skipSites = (build: (net: GraphBuilder, x: Value) => Value): string[] => {
  const net = new GraphBuilder();
  const x = net.op("Tanh", [net.input("x", ["batch", 4, 6])]);
  return layersOf(net.output(net.matmul("head", build(net, x), [6, 3]))).map(
    ({ name, prunable }) => `${name} ${prunable}`,
  );
};

test("a branch that ends in a Gemm on flattened tokens, as GPT-2 is exported, is one too", async () => {
  const net = new GraphBuilder();
  const x = net.op("Tanh", [net.input("x", ["batch", 4, 6])]);
  const flat = net.op("Relu", [net.gemm("up", net.reshape(x, [-1, 6], "flat"), [6, 9])]);
  const branch = net.reshape(net.gemm("down", flat, [9, 6]), [-1, 4, 6], "tokens");
  const graph = net.output(net.matmul("head", net.op("Add", [x, branch]), [6, 3]));
  expect(layersOf(graph).map(({ name }) => name)).toEqual(["down.layer"]);
  for (const biases of [true, false]) {
    const { graph: pruned } = await pruneAndProve(graph, { kept: { "down.layer": [] }, biases });
    expect(pruned.nodes("Gemm")).toEqual([]);
  }
});

describe("what is no residual branch", () => {
  test("two branches side by side, a broadcast operand, an activation at the end, a branch that others read", () => {
    expect(
      skipSites((net, x) => net.op("Add", [net.matmul("a", x, [6, 6]), net.matmul("b", x, [6, 6])])),
    ).toEqual([]);
    expect(
      skipSites((net, x) =>
        net.op("Add", [
          net.matmul("a", net.op("ReduceMean", [x], { axes: { kind: "ints", value: [1] } }), [6, 6]),
          x,
        ]),
      ),
    ).toEqual([]);
    expect(skipSites((net, x) => net.op("Add", [net.op("Relu", [net.matmul("a", x, [6, 6])]), x]))).toEqual(
      [],
    );
    expect(
      skipSites((net, x) => {
        const branch = net.matmul("a", x, [6, 6]);
        return net.op("Mul", [net.op("Add", [branch, x]), branch]);
      }),
    ).toEqual([]);
    // The skip must lead into the branch.
    expect(skipSites((net, x) => net.op("Add", [net.matmul("a", x, [6, 6]), net.op("Relu", [x])]))).toEqual(
      [],
    );
    // With all of that put right:
    expect(skipSites((net, x) => net.op("Add", [net.matmul("a", net.op("Relu", [x]), [6, 6]), x]))).toEqual([
      "a.layer true",
    ]);
  });

  test("a tied weight is named as the reason", () => {
    expect(
      skipSites((net, x) => {
        const first = net.op("Add", [net.matmul("a", x, [6, 6], false), x]);
        return net.op("Add", [net.op("MatMul", [first, net.graph.value("a/kernel")!], {}, "again"), first]);
      }),
    ).toEqual(['a.layer MatMul "again" uses the same weight', 'again.layer MatMul "a" uses the same weight']);
  });

  test("a bias that others use stays, as one number per channel", async () => {
    const net = new GraphBuilder();
    const x = net.op("Tanh", [net.input("x", ["batch", 4, 6])]);
    const a = net.op("Add", [net.matmul("a", x, [6, 6]), x]);
    const b = net.op("Add", [net.matmul("b", a, [6, 6], false), net.graph.value("a/bias")!]);
    const graph = net.output(net.matmul("head", net.op("Mul", [a, net.op("Sigmoid", [b])]), [6, 3]));
    const { graph: pruned } = await pruneAndProve(graph, { kept: { "a.layer": [] } });
    expect(pruned.nodes("MatMul").map(({ name }) => name)).toEqual(["b", "head"]);
  });
});
