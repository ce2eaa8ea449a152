import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { int } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { mask } from "../prune/mask.ts";
import { denormalise, normalise } from "./normalise.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "../prune/prune.ts";

/** Two attention layers of 4 heads that add the same bias per head, as T5 and ALiBi do. */
function sharedBias(computed: boolean): Graph {
  const net = new GraphBuilder(5);
  const table = net.weight("bias", [1, 4, 5, 5]);
  const bias = computed ? net.op("Tanh", [table], {}, "bias/tanh") : table;
  const split = (x: Value): Value => net.transpose(net.reshape(x, [0, 0, 4, 2]), [0, 2, 1, 3]);
  const layer = (name: string, x: Value): Value => {
    const [q, k, v] = ["q", "k", "v"].map((part) => split(net.matmul(`${name}/${part}`, x, [8, 8], false)));
    const scores = net.op(
      "Add",
      [net.op("MatMul", [q!, net.transpose(k!, [0, 1, 3, 2])], {}, `${name}/qk`), bias],
      {},
      `${name}/add`,
    );
    const context = net.op(
      "MatMul",
      [net.op("Softmax", [scores], {}, `${name}/softmax`), v!],
      {},
      `${name}/av`,
    );
    const merged = net.reshape(net.transpose(context, [0, 2, 1, 3]), [0, 0, 8]);
    return net.op("Add", [x, net.matmul(`${name}/o`, merged, [8, 8], false)]);
  };
  return net.output(layer("second", layer("first", net.input("x", ["batch", 5, 8]))));
}

test.each([false, true])(
  "layers that share a bias per head lose heads of their own (computed bias: %s)",
  async (computed) => {
    const graph = sharedBias(computed);
    const sites = findSites(graph).filter(({ kind }) => kind === "heads");
    expect(sites.map(({ name, channel }) => [name, channel])).toEqual([
      ["first.heads", sites[0]!.channel],
      ["second.heads", sites[1]!.channel],
    ]);
    expect(sites[0]!.channel).not.toBe(sites[1]!.channel);
    const plan = planFrom(sites, { kept: { "first.heads": [0, 3], "second.heads": [1, 2, 3] } });
    const { graph: small, report } = prune(graph, plan);
    expect(report.keptBack).toEqual([]);
    // A constant bias is cut for each layer; a computed one is picked from.
    expect(small.nodes("Gather").length).toBe(computed ? 2 : 0);
    expect((await verify(mask(graph, plan), small)).maxRelDiff).toBeLessThan(1e-6);
    expect((await verify(graph, mask(graph, plan), { runs: 1 })).equal).toBe(false);
  },
);

test("what the analysis inserts is gone where nothing was cut", () => {
  const graph = sharedBias(true);
  expect(normalise(graph).nodes("Gather").length).toBe(2);
  const sites = findSites(graph).filter(({ kind }) => kind === "heads");
  const { graph: small } = prune(graph, planFrom(sites, { kept: { "first.heads": [0, 1, 2] } }));
  expect(small.nodes("Gather").length).toBe(1);
  expect(mask(graph, planFrom(sites, { keep: 0.5 })).nodes("Gather")).toEqual([]);
});

test("a Gather of the model that has the name of a pick, but another order, stays", () => {
  const net = new GraphBuilder();
  const reversed = net.integers("order", [3, 2, 1, 0]);
  const x = net.input("x", ["batch", 4]);
  const graph = net.output(net.op("Gather", [x, reversed], { axis: int(1) }, "add.heads_of_bias"));
  denormalise(graph);
  expect(graph.nodes("Gather")).toHaveLength(1);
});
