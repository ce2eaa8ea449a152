import type { PrunePlan } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { FusedBuilder, headCount } from "../../test/models/fused-builder.ts";
import { planOf, proofOf, shapeOf, sitePlan } from "../../test/prune-and-prove.ts";
import { float, int } from "../graph/attribute.ts";
import type { Graph } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { findAttention } from "../sites/attention.ts";
import { findSites } from "../sites/find-sites.ts";

async function pruneAndProve(graph: Graph, plan: PrunePlan) {
  const proof = await proofOf(graph, plan);
  expect(proof.difference).toBeLessThan(2e-6);
  expect(proof.effect).toBeGreaterThan(1e-3);
  return proof;
}

/** One attention of three heads; a scale of 0 is 1/√d. */
function build(scale: number, name: "MultiHeadAttention" | "Attention", apart = false): Graph {
  const net = new FusedBuilder(4, 23);
  const x = net.input("x", ["batch", "time", 6]);
  const parts = ["q", "k", "v"].map((part) => {
    const projected = net.matmul(part, x, [6, 12]);
    return apart ? net.transpose(net.reshape(projected, [0, 0, 3, 4]), [0, 2, 1, 3]) : projected;
  });
  const counts = { q_num_heads: int(3), kv_num_heads: int(3) };
  const own = scale === 0 ? {} : { scale: float(scale) };
  const standard = { ...own, ...(apart ? {} : counts) };
  const attributes = { ...headCount(3), ...own };
  const y =
    name === "Attention"
      ? net.op("Attention", parts, standard, "attention")
      : net.fused(name, parts, { name: "attention", attributes })[0]!;
  const joined = apart ? net.reshape(net.transpose(y, [0, 2, 1, 3]), [0, 0, 12]) : y;
  return net.output(net.project("output", joined, [12, 6]));
}

/** Sites of the dims of queries and keys. */
const dimsOf = (graph: Graph) =>
  findSites(graph).filter(({ kind, tensor }) => kind === "headDims" && tensor !== "v/kernel");

describe("dims of queries and keys", () => {
  test.each([
    ["MultiHeadAttention", false],
    ["Attention", false],
    ["Attention", true],
  ] as const)("go with a scale of its own: %s, heads apart: %o", async (name, apart) => {
    const graph = build(0.4, name, apart);
    const [site] = dimsOf(graph);
    expect(site).toMatchObject({ groups: 4, prunable: true });
    const { pruned, report } = await pruneAndProve(
      graph,
      sitePlan(graph, { kept: { [site!.name]: [1, 3] } }),
    );
    expect(report.keptBack).toEqual([]);
    expect(shapeOf(pruned, "q/kernel")).toEqual([6, 6]);
    expect(shapeOf(pruned, "k/bias")).toEqual([6]);
    expect(shapeOf(pruned, "v/kernel")).toEqual([6, 12]);
    expect(findAttention(pruned)).toMatchObject([{ heads: 3, headDim: 2 }]);
  });

  test("stay where neither queries nor keys are zero, with the reason", async () => {
    const graph = build(0.4, "MultiHeadAttention");
    // Weights without biases: dim 0 of every head is a constant, not zero, in the queries and varies in the keys.
    const plan = planOf(graph, { "q/kernel": [1, [0, 4, 8]] });
    const { report } = await pruneAndProve(graph, plan);
    expect(report.keptBack[0]!.reason).toMatch(/MultiHeadAttention "attention" still reads it/);
    const zero = planOf(graph, { "q/kernel": [1, [0, 4, 8]], "q/bias": [0, [0, 4, 8]] });
    expect((await pruneAndProve(graph, zero)).report.keptBack).toEqual([]);
  });

  test("stay with the scale 1/√d, with the reason", () => {
    const [site] = dimsOf(build(0, "MultiHeadAttention"));
    expect(site!.prunable).toBe(
      'com.microsoft.MultiHeadAttention "attention" scales by the size of its heads',
    );
  });
});

test("places that a rotary embedding turns by are no channels, though a layer makes them", () => {
  for (const apart of [false, true]) {
    const net = new FusedBuilder(4, 23);
    const places = net.project("places", net.input("x", ["batch", 8, 5]), [5, 6]);
    const joined = net.transpose(places, [0, 2, 1]);
    const turned = apart ? net.transpose(net.reshape(joined, [0, 0, 2, 4]), [0, 2, 1, 3]) : joined;
    const tables = ["cosines", "sines"].map((name) => net.weight(name, [12, 2]));
    const ids = net.graph.addInitializer("ids", tensorOf("int64", [1, 6], [0, 1, 2, 3, 4, 5]));
    const options = { name: "rotary", attributes: apart ? {} : headCount(2) };
    const [y] = net.fused("RotaryEmbedding", [turned, ids, ...tables], options);
    const back = apart ? net.reshape(net.transpose(y!, [0, 2, 1, 3]), [0, 0, 8]) : y!;
    const graph = net.output(net.project("output", net.transpose(back, [0, 2, 1]), [6, 3]));
    expect(findSites(graph).find(({ name }) => name === "places.neurons")?.prunable).toMatch(
      /RotaryEmbedding "rotary" turns by the place on this axis/,
    );
  }
});
