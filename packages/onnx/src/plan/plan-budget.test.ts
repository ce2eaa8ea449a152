import { DgateError } from "@dgate/core";
import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { bert, bertBase } from "../../test/bert.ts";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { buildNetwork, networks } from "../../test/random-networks.ts";
import type { Graph } from "../graph/graph.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { mask } from "../prune/mask.ts";
import { costOfPlan } from "./plan-cost.ts";
import { planFrom } from "./plan-from.ts";
import type { PlanOptions } from "./plan-options.ts";
import { prune } from "../prune/prune.ts";

/** 10 → 20 → 30 → 5 */
function mlp(activation = "Relu"): Graph {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 10]);
  const a = net.op(activation, [net.gemm("a", x, [10, 20])]);
  const b = net.op(activation, [net.gemm("b", a, [20, 30])]);
  return net.output(net.gemm("head", b, [30, 5]));
}

const reached = (graph: Graph, options: PlanOptions): Record<"macs" | "parameters" | "bytes", number> => {
  const plan = planFrom(findSites(graph), options);
  const { before, after } = prune(graph, plan, { dims: options.dims ?? {} }).report;
  return {
    macs: after.macs / before.macs,
    parameters: after.parameters / before.parameters,
    bytes: after.bytes / before.bytes,
  };
};

/** Multiply–adds of that network with other widths. */
const macsOf = (rows: number, columns: number): number => 10 * rows + rows * columns + 5 * columns;

/** The result, or the code of what was thrown. */
function attempt<T>(work: () => T): T | string {
  try {
    return work();
  } catch (error) {
    if (error instanceof DgateError) return error.code;
    throw error;
  }
}

describe("a budget", () => {
  test("is met from below, by the last group that is needed", () => {
    const graph = mlp();
    const sites = findSites(graph);
    for (const macs of [0.9, 0.5, 0.2]) {
      const plan = planFrom(sites, { macs });
      const [a, b] = ["a/kernel", "b/kernel"].map(
        (name) => plan.axes.find(({ tensor }) => tensor === name)?.kept ?? [],
      );
      const whole = macsOf(20, 30);
      const [rows, columns] = [a!.length || 20, b!.length || 30];
      expect(macsOf(rows, columns)).toBeLessThanOrEqual(macs * whole);
      // One group more, of either layer: too much.
      expect(Math.max(macsOf(rows + 1, columns), macsOf(rows, columns + 1))).toBeGreaterThan(macs * whole);
      expect(prune(graph, plan).report.after.macs).toBe(macsOf(rows, columns));
    }
  });

  test("holds on the pruned graph for every cost, over random networks and options", () => {
    let met = 0;
    fc.assert(
      fc.property(
        networks,
        fc.record({
          cost: fc.constantFrom("macs" as const, "parameters" as const, "bytes" as const),
          fraction: fc.double({ min: 0.1, max: 0.95, noNaN: true }),
          scope: fc.constantFrom("site" as const, "global" as const),
          align: fc.constantFrom(1, 2, 4),
          layers: fc.boolean(),
          biases: fc.boolean(),
          seed: fc.nat(),
        }),
        (network, { cost, fraction, scope, align, layers, biases, seed }) => {
          const graph = buildNetwork(network);
          const sites = findSites(graph);
          const kinds = sites.some(({ kind, prunable }) => kind === "layers" && prunable === true);
          const names = layers && kinds ? { sites: [...new Set(sites.map(({ kind }) => kind))] } : {};
          const dims = { batch: 2 };
          const options: PlanOptions = {
            [cost]: fraction,
            scope,
            align,
            biases,
            seed,
            dims,
            criterion: "random",
            ...names,
          };
          const outcome = attempt(() => reached(graph, options)[cost] <= fraction * (1 + 1e-9));
          expect([true, "OPTION", "NO_MATCH"]).toContain(outcome);
          if (outcome === true) met += 1;
        },
      ),
      { numRuns: process.env["DGATE_NIGHTLY"] ? 1000 : 50 },
    );
    expect(met).toBeGreaterThan(12);
  }, 120_000);

  test("that cannot be reached is refused with the least that can", () => {
    const graph = mlp();
    const sites = findSites(graph);
    // One neuron of each layer: 10 + 1 + 5 of 950 multiply–adds.
    expect(() => planFrom(sites, { macs: 0.01 })).toThrow(
      /macs = 0.01 cannot be reached: .* 0.017 of the MACs stay/,
    );
    expect(() => planFrom(sites, { macs: 0.26, minimum: 10 })).toThrow(
      /macs = 0.26 .* 0.264 .* loosen what bounds each site/,
    );
    // (10·10 + 10·15 + 5·15) / 950
    expect(() => planFrom(sites, { macs: 0.3, maximumSparsity: 0.5 })).toThrow(/0.343 of the MACs stay/);
    expect(() => planFrom(sites, { macs: 0.5, parameters: 0.01 })).toThrow(/^plan: parameters = 0.01/);
    expect(
      planFrom(sites, { macs: 0.27, minimum: 10 }).axes.find(({ tensor }) => tensor === "a/kernel")?.kept,
    ).toHaveLength(10);
  });

  test("of a cost that the model does not have is refused", () => {
    expect(() => planFrom(findSites(mlp()), { macs: 0.5, dims: { batch: 0 } })).toThrow(
      /the model has no MACs/,
    );
  });

  test("several budgets hold together", () => {
    const graph = mlp();
    const found = reached(graph, { macs: 0.6, parameters: 0.5, bytes: 0.4 });
    expect(found.macs).toBeLessThanOrEqual(0.6);
    expect(found.parameters).toBeLessThanOrEqual(0.5);
    expect(found.bytes).toBeLessThanOrEqual(0.4);
    expect(found.bytes).toBeGreaterThan(0.35);
  });

  test("counts symbolic dimensions by their sizes", () => {
    // Attention products grow with the square of the sequence, so that heads save more of a long one.
    const graph = bert({
      ...bertBase,
      layers: 1,
      width: 16,
      heads: 4,
      ffn: 32,
      vocabulary: 50,
      positions: 32,
    });
    const kept = (sequence: number) =>
      planFrom(findSites(graph), { macs: 0.8, dims: { batch: 1, sequence }, sites: ["heads"] }).axes.find(
        ({ tensor }) => tensor === "layer.0.attention.value.weight",
      )!.kept.length;
    expect(kept(4)).toBeLessThan(kept(512));
  });

  test("is met where one channel has to stay for the constants of others", async () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 3, 6, 6]);
    // A dead channel of c1 emits Sigmoid(0) = ½, which meets zero padding: one of them stays and stands for all.
    const c1 = net.op("Sigmoid", [net.conv("c1", x, [3, 12], { kernel: [1, 1] })]);
    const c2 = net.op("Relu", [net.conv("c2", c1, [12, 12], { pads: [1, 1, 1, 1] })]);
    const graph = net.output(
      net.conv("head", net.op("GlobalAveragePool", [c2]), [12, 4], { kernel: [1, 1] }),
    );
    for (const parameters of [0.6, 0.3, 0.12, 0.06, 0.03]) {
      const plan = planFrom(findSites(graph), { parameters });
      const { graph: pruned, report } = prune(graph, plan);
      expect(report.after.parameters / report.before.parameters).toBeLessThanOrEqual(parameters);
      expect((await verify(mask(graph, plan), pruned)).equal).toBe(true);
    }
    // Two channels of c1 (the strongest and the one for the others) and one of c2: 8 + 19 + 8 of 1408.
    expect(() => planFrom(findSites(graph), { parameters: 0.02 })).toThrow(
      /parameters = 0.02 cannot be reached: .* 0\.025 of the parameters stay/,
    );
  });

  test("leaves groups alone that cannot go, and takes others", () => {
    const net = new GraphBuilder();
    const x = net.input("x", ["batch", 3, 6, 6]);
    const a = net.conv("a", x, [3, 8], { kernel: [1, 1] });
    const b = net.conv("b", net.op("Relu", [a]), [8, 8], { kernel: [1, 1] });
    // Two producers of one stream, of which only one may be pruned: its channels never go alone.
    const sum = net.op("Relu", [net.op("Add", [a, b])]);
    const c = net.op("Relu", [net.conv("c", sum, [8, 20], { kernel: [1, 1] })]);
    const graph = net.output(net.conv("head", c, [20, 4], { kernel: [1, 1] }));
    const plan = planFrom(findSites(graph), { parameters: 0.6, sites: ["a.filters", "c.filters"] });
    expect(plan.axes.map(({ tensor }) => tensor)).toEqual(["c/bias", "c/kernel"]);
    const { report } = prune(graph, plan);
    expect(report.keptBack).toEqual([]);
    expect(report.after.parameters / report.before.parameters).toBeLessThanOrEqual(0.6);
    // a and b stay whole: 32 + 72 of 368, and one filter of c with what it reads and is read by.
    expect(() => planFrom(findSites(graph), { parameters: 0.3, sites: ["a.filters", "c.filters"] })).toThrow(
      /parameters = 0.3 cannot be reached/,
    );
  });

  test("counts biases that have to be made for what removed neurons emit", () => {
    const net = new GraphBuilder();
    const hidden = net.op("Sigmoid", [net.matmul("fc1", net.input("x", ["batch", 4]), [4, 10], false)]);
    const graph = net.output(net.matmul("fc2", hidden, [10, 4], false));
    for (let parameters = 0.15; parameters < 1; parameters += 0.05) {
      expect(reached(graph, { parameters }).parameters).toBeLessThanOrEqual(parameters * (1 + 1e-9));
    }
  });
});

test("the cost of a plan is the report's, without cutting", () => {
  const graph = mlp("Sigmoid");
  const plan = planFrom(findSites(graph), { sparsity: 0.4, sites: ["neurons", "inputs"] });
  expect(costOfPlan(graph, plan)).toEqual(prune(graph, plan).report.after);
});

test("a BERT of twelve layers and width 264 is planned to a budget in two seconds of processor time, norms included", () => {
  const graph = bert({ ...bertBase, width: 264, ffn: 1056 });
  const sites = findSites(graph);
  const dims = { batch: 1, sequence: 128 };
  const started = process.cpuUsage();
  const plan = planFrom(sites, { macs: 0.5, dims });
  const { user, system } = process.cpuUsage(started);
  expect((user + system) / 1e6).toBeLessThan(2);
  const { macs } = costOfPlan(graph, plan, { dims });
  const whole = costOfPlan(graph, planFrom(sites, { keep: 1 }), { dims }).macs;
  expect(macs / whole).toBeLessThanOrEqual(0.5);
  expect(macs / whole).toBeGreaterThan(0.495);
});
