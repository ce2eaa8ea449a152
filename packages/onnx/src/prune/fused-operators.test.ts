import type { PrunePlan } from "@dgate/core";
import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { FusedBuilder, headCount } from "../../test/models/fused-builder.ts";
import { unfused } from "../../test/models/unfused.ts";
import { planOf, proofOf, type ProofOptions, shapeOf, sitePlan } from "../../test/prune-and-prove.ts";
import { declinedOps } from "../coupling/fused-rules.ts";
import { float, floats, int, ints, string } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { findAttention } from "../sites/attention.ts";
import { countCosts } from "../sites/count-costs.ts";
import { findSites } from "../sites/find-sites.ts";

async function pruneAndProve(graph: Graph, plan: PrunePlan, options: ProofOptions = {}) {
  const proof = await proofOf(graph, plan, options);
  expect(proof.difference).toBeLessThan(3e-6);
  expect(proof.effect).toBeGreaterThan(1e-3);
  return proof;
}

/** Two layers with something fused between them. */
function between(make: (net: FusedBuilder, hidden: Value) => Value, { width = 8, inputs = 5 } = {}): Graph {
  const net = new FusedBuilder(3);
  const x = net.input("x", ["batch", "time", inputs]);
  const y = make(net, net.project("fc1", x, [inputs, width]));
  return net.output(net.project("fc2", y, [8, 3]));
}

describe("fused activations: what a dead channel emits behind its bias is folded", () => {
  const activations: readonly (readonly [string, (net: FusedBuilder, x: Value) => Value])[] = [
    ["BiasGelu", (net, x) => net.fused("BiasGelu", [x, net.weight("bias", [8])])[0]!],
    ["FastGelu with a bias", (net, x) => net.fused("FastGelu", [x, net.weight("bias", [8])])[0]!],
    ["FastGelu", (net, x) => net.fused("FastGelu", [net.op("Add", [x, net.weight("bias", [8])])])[0]!],
    [
      "QuickGelu",
      (net, x) => {
        const sum = net.op("Add", [x, net.weight("bias", [8])]);
        return net.fused("QuickGelu", [sum], { attributes: { alpha: float(1.3) } })[0]!;
      },
    ],
    ["Gelu", (net, x) => net.fused("Gelu", [net.op("Add", [x, net.weight("bias", [8])])])[0]!],
  ];
  test.each(activations)("%s", async (_, make) => {
    const graph = between(make);
    const { pruned, report } = await pruneAndProve(graph, planOf(graph, { "fc1/kernel": [1, [0, 3, 6]] }));
    expect(report.keptBack).toEqual([]);
    expect(shapeOf(pruned, "bias")).toEqual([5]);
    expect(shapeOf(pruned, "fc2/kernel")).toEqual([5, 3]);
    expect(shapeOf(pruned, "fc2.bias")).toEqual([3]);
  });

  test("BiasAdd and BiasSplitGelu, run as plain operators since no CPU kernel exists", async () => {
    const graph = between(
      (net, x) => {
        const [sum] = net.fused("BiasAdd", [x, net.weight("bias", [16]), net.weight("skip", [1, 1, 16])]);
        return net.fused("BiasSplitGelu", [sum, net.weight("gate_bias", [16])])[0]!;
      },
      { width: 16 },
    );
    const plan = planOf(graph, { "fc1/kernel": [1, [1, 9, 4, 12]] });
    const { pruned } = await pruneAndProve(graph, plan, { run: unfused });
    expect(shapeOf(pruned, "fc1/kernel")).toEqual([5, 12]);
    expect(shapeOf(pruned, "fc2/kernel")).toEqual([6, 3]);
    const site = findSites(graph).find(({ name }) => name === "fc1.neurons");
    expect(site).toMatchObject({ groups: 8, blockSize: 2, prunable: true });
  });
});

describe("fused products", () => {
  test("FusedMatMul with any transposition and a factor", async () => {
    const forms = fc.record({
      transA: fc.boolean(),
      transB: fc.boolean(),
      alpha: fc.constantFrom(0.5, -2),
      dead: fc.subarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 1, maxLength: 6 }),
      seed: fc.nat(1000),
    });
    await fc.assert(
      fc.asyncProperty(forms, async ({ transA, transB, alpha, dead, seed }) => {
        const net = new FusedBuilder(seed);
        const x = net.input("x", ["batch", 3, 5]);
        const hidden = net.op("Sigmoid", [net.matmul("fc1", x, [5, 8])]);
        const data = transA ? net.transpose(hidden, [0, 2, 1]) : hidden;
        const w = net.weight("fc2/kernel", transB ? [4, 8] : [8, 4]);
        const attributes = { alpha: float(alpha), transA: int(Number(transA)), transB: int(Number(transB)) };
        const [y] = net.fused("FusedMatMul", [data, w], { name: "fc2", attributes });
        const graph = net.output(net.project("fc3", y!, [4, 2]));
        const { pruned } = await pruneAndProve(graph, planOf(graph, { "fc1/kernel": [1, dead] }), {
          runs: 1,
        });
        expect(shapeOf(pruned, "fc1/kernel")).toEqual([5, 8 - dead.length]);
        const second = planOf(graph, { "fc2/kernel": [transB ? 0 : 1, [1, 2]] });
        const cut = (await pruneAndProve(graph, second, { runs: 1 })).pruned;
        expect(shapeOf(cut, "fc3/kernel")).toEqual([2, 2]);
        expect(countCosts(graph, { batch: 1 }).macs).toBe(3 * (5 * 8 + 8 * 4 + 4 * 2));
      }),
      { numRuns: 20, seed: 1 },
    );
  });

  test.each(["Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid"])(
    "FusedGemm with %s",
    async (activation) => {
      const net = new FusedBuilder();
      const x = net.input("x", ["batch", 5]);
      const gemm = (name: string, data: Value, [rows, columns]: readonly [number, number]): Value => {
        const inputs = [
          data,
          net.weight(`${name}/kernel`, [columns, rows]),
          net.weight(`${name}/bias`, [columns]),
        ];
        const attributes = {
          transB: int(1),
          alpha: float(0.5),
          beta: float(2),
          activation: string(activation),
          activation_alpha: float(0.3),
          activation_beta: float(0.4),
        };
        return net.fused("FusedGemm", inputs, { name, attributes })[0]!;
      };
      const graph = net.output(gemm("fc2", gemm("fc1", x, [5, 8]), [8, 3]));
      const { pruned } = await pruneAndProve(graph, planOf(graph, { "fc1/kernel": [0, [2, 5]] }));
      expect(shapeOf(pruned, "fc1/bias")).toEqual([6]);
      expect(shapeOf(pruned, "fc2/kernel")).toEqual([3, 6]);
      expect(findSites(graph)[0]).toMatchObject({ name: "fc1.neurons", groups: 8, prunable: true });
      expect(countCosts(graph, { batch: 2 }).macs).toBe(2 * (5 * 8 + 8 * 3));
    },
  );

  test.each([
    ["Relu", []],
    ["Clip", [-0.5, 0.7]],
    ["HardSigmoid", [0.3, 0.4]],
    ["Tanh", []],
  ] as const)("FusedConv with %s and something added", async (activation, parameters) => {
    const net = new FusedBuilder();
    const x = net.input("x", ["batch", 2, 6, 6]);
    const fused = { activation: string(activation), activation_params: floats(parameters) };
    const conv = (name: string, data: Value, channels: number, filters: number, added?: Value): Value => {
      const inputs = [
        data,
        net.weight(`${name}/kernel`, [filters, channels, 3, 3], 0.3),
        net.weight(`${name}/bias`, [filters]),
        added,
      ];
      const attributes = { ...fused, kernel_shape: ints([3, 3]) };
      return net.fused("FusedConv", added ? inputs : inputs.slice(0, 3), { name, attributes })[0]!;
    };
    const other = conv("other", x, 2, 6);
    const hidden = conv("c1", x, 2, 6, other);
    const graph = net.output(conv("c2", hidden, 6, 3));
    const plan = planOf(graph, { "c1/kernel": [0, [1, 4]], "other/kernel": [0, [1, 4]] });
    const { pruned, report } = await pruneAndProve(graph, plan);
    expect(report.keptBack).toEqual([]);
    expect(shapeOf(pruned, "c1/bias")).toEqual([4]);
    expect(shapeOf(pruned, "other/kernel")).toEqual([4, 2, 3, 3]);
    expect(shapeOf(pruned, "c2/kernel")).toEqual([3, 4, 3, 3]);
    expect(findSites(graph).find(({ name }) => name === "c1.filters")).toMatchObject({ prunable: true });
  });

  test("a channel that is dead in one summand only stays, with the reason", async () => {
    const net = new FusedBuilder();
    const x = net.input("x", ["batch", 2, 6, 6]);
    const other = net.conv("other", x, [2, 4]);
    const inputs = [x, net.weight("c1/kernel", [4, 2, 3, 3]), net.weight("c1/bias", [4]), other];
    const [y] = net.fused("FusedConv", inputs, { name: "c1", attributes: { activation: string("Relu") } });
    const graph = net.output(net.conv("c2", y!, [4, 2]));
    const { report } = await pruneAndProve(graph, planOf(graph, { "c1/kernel": [0, [2]] }));
    expect(report.keptBack[0]).toMatchObject({ site: "c1/kernel", groups: [2] });
    expect(report.keptBack[0]!.reason).toMatch(/still reads it, and it is not constant there/);
  });
});

/** One packed attention, with a cache or without. */
function packedAttention(cached: boolean): Graph {
  const net = new FusedBuilder();
  const x = net.input("x", ["batch", "time", 6]);
  const weights = [net.kernel("qkv/kernel", [6, 24]), net.weight("qkv/bias", [24])];
  const past = cached ? [undefined, net.input("past", [2, "batch", 2, "past_time", 4])] : [];
  const [y, present] = net.fused("Attention", [x, ...weights, ...past], {
    outputs: cached ? 2 : 1,
    attributes: headCount(2),
  });
  return net.output(net.project("output", y!, [8, 6]), ...(present ? [present] : []));
}

describe("packed projections", () => {
  test("a constant channel of the attention's input is folded into its bias", async () => {
    const net = new FusedBuilder();
    const x = net.input("x", ["batch", "time", 6]);
    const hidden = net.op("Sigmoid", [net.matmul("fc1", x, [6, 8])]);
    const weights = [net.kernel("qkv/kernel", [8, 24]), net.weight("qkv/bias", [24])];
    const [y] = net.fused("Attention", [hidden, ...weights], { name: "attention", attributes: headCount(2) });
    const graph = net.output(net.project("output", y!, [8, 6]));
    const before = [...graph.value("qkv/bias")!.data!.bytes];
    const { pruned, report } = await pruneAndProve(graph, planOf(graph, { "fc1/kernel": [1, [1, 5]] }));
    expect(report.keptBack).toEqual([]);
    expect(shapeOf(pruned, "qkv/kernel")).toEqual([6, 24]);
    expect(shapeOf(pruned, "qkv/bias")).toEqual([24]);
    expect([...pruned.value("qkv/bias")!.data!.bytes]).not.toEqual(before);
  });

  test("a head whose V is zero goes without its rows of the output projection, but not with a cache", async () => {
    const gone = [1, 3, 5]; // head 1 of Q, of K and of V
    const [plain, cached] = [packedAttention(false), packedAttention(true)];
    const planned = { "qkv/kernel": [1, gone, 4], "qkv/bias": [0, gone, 4] } as const;
    const { report } = await pruneAndProve(plain, planOf(plain, planned));
    expect(report.keptBack).toEqual([]);
    expect(report.removed[0]).toMatchObject({ groups: 2, kept: 1 });
    const kept = await pruneAndProve(cached, planOf(cached, planned), { dims: { past_time: 2 } });
    expect(kept.report.keptBack[0]!.reason).toMatch(/MatMul "output" still reads it/);
    expect(shapeOf(kept.pruned, "qkv/kernel")).toEqual([6, 24]);
  });

  test("dims of V go where the operator allows V another width", async () => {
    const net = new FusedBuilder();
    const x = net.input("x", ["batch", "time", 6]);
    const weights = [net.kernel("qkv/kernel", [6, 24]), net.weight("qkv/bias", [24])];
    const [y] = net.fused("Attention", [x, ...weights], { name: "attention", attributes: headCount(2) });
    const graph = net.output(net.project("output", y!, [8, 6]));
    const site = findSites(graph).find(({ kind, prunable }) => kind === "headDims" && prunable === true)!;
    const { pruned } = await pruneAndProve(graph, sitePlan(graph, { kept: { [site.name]: [0, 2] } }));
    expect(pruned.nodes("Attention", "com.microsoft")[0]!.attributes.get("qkv_hidden_sizes")).toMatchObject({
      value: [8, 8, 4],
    });
    expect(shapeOf(pruned, "output/kernel")).toEqual([4, 6]);
  });
});

/** Q, K and V, or K and V, side by side within each head. */
function packedMultiHead(parts: 2 | 3): Graph {
  const net = new FusedBuilder();
  const x = net.input("x", ["batch", "time", 6]);
  const side = net.reshape(net.matmul("packed", x, [6, 4 * parts * 4]), [0, 0, 4, parts, 4]);
  const query = parts === 3 ? side : net.matmul("q", x, [6, 16]);
  const [y] = net.fused("MultiHeadAttention", parts === 3 ? [query] : [query, side], {
    name: "attention",
    attributes: headCount(4),
  });
  return net.output(net.project("output", y!, [16, 6]));
}

/** Two key–value heads, with norms of queries and keys. */
function groupedWithNorms(): Graph {
  const net = new FusedBuilder();
  const x = net.input("x", ["batch", "time", 6]);
  const parts = [16, 8, 8].map((columns, i) => net.matmul("qkv"[i]!, x, [6, columns]));
  const lengths = [net.int32("last", [1], [2]), net.int32("total", [1], [3])];
  const norms = [net.weight("q_norm", [4], 0.3, 1), net.weight("k_norm", [4], 0.3, 1)];
  const open = Array.from({ length: 7 }, () => undefined);
  const [y] = net.fused(
    "GroupQueryAttention",
    [...parts, undefined, undefined, ...lengths, ...open, ...norms],
    {
      name: "attention",
      attributes: { num_heads: int(4), kv_num_heads: int(2), causal: int(0) },
    },
  );
  return net.output(net.project("output", y!, [16, 6]));
}

describe("forms without a kernel on the CPU, run as plain operators", () => {
  test.each([
    ["MultiHeadAttention, Q, K and V interleaved", packedMultiHead(3), 4],
    ["MultiHeadAttention, K and V interleaved", packedMultiHead(2), 4],
    ["GroupQueryAttention with norms of queries and keys", groupedWithNorms(), 2],
  ] as const)("%s", async (_, graph, kvHeads) => {
    expect(findAttention(graph)).toMatchObject([{ heads: 4, kvHeads, headDim: 4, prunable: true }]);
    const plan = sitePlan(graph, { sparsity: 0.5, sites: ["heads"] });
    const { pruned, report } = await pruneAndProve(graph, plan, { run: unfused, dims: { time: 3 } });
    expect(report.keptBack).toEqual([]);
    expect(findAttention(pruned)).toMatchObject([{ heads: 2, kvHeads: kvHeads / 2, headDim: 4 }]);
  });
});

describe("what is left alone", () => {
  test.each(Object.entries(declinedOps))("%s keeps its channels, with the reason", (key, reason) => {
    const net = new FusedBuilder();
    const x = net.input("x", ["batch", "time", 6]);
    const hidden = net.matmul("fc1", x, [6, 8]);
    const node = net.graph.addNode({
      op: key.split(".").at(-1)!,
      domain: "com.microsoft",
      name: "op",
      inputs: [hidden],
    });
    node.outputs[0]!.type = { dtype: "float32", shape: ["batch", "time", 8] };
    const graph = net.output(net.project("fc2", node.outputs[0]!, [8, 3]));
    const site = findSites(graph).find(({ name }) => name === "fc1.neurons")!;
    expect(site.prunable).toBe(`${key} "op" ${reason}`);
  });

  test("heads stay where something that may be theirs has an unknown shape", () => {
    const net = new FusedBuilder();
    const x = net.input("x", ["batch", "time", 6]);
    const [bias] = net.fused("Mystery", [x]);
    const parts = ["q", "k", "v"].map((name) => net.matmul(name, x, [6, 8]));
    const [y] = net.fused("MultiHeadAttention", [...parts, undefined, undefined, bias], {
      name: "attention",
      attributes: headCount(2),
    });
    const graph = net.output(net.project("output", y!, [8, 6]));
    const reasons = findSites(graph).flatMap(({ name, prunable }) =>
      name === "q.neurons" ? [prunable] : [],
    );
    expect(reasons).toEqual([
      'com.microsoft.MultiHeadAttention "attention" has the value "Mystery_output_0", whose shape is not known',
    ]);
  });
});
