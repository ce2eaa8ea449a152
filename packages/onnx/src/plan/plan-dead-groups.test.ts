import { expect, test } from "vitest";
import { type GatedNetwork, network } from "../../test/gated-networks.ts";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { foldGates } from "../gating/fold-gates.ts";
import { type GateOptions, insertGates } from "../gating/insert-gates.ts";
import type { Graph } from "../graph/graph.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { findSites } from "../sites/find-sites.ts";
import type { Site } from "../sites/site.ts";
import { verify } from "../verify/verify.ts";
import { mask } from "../prune/mask.ts";
import { planDeadGroups } from "./plan-dead-groups.ts";
import { prune } from "../prune/prune.ts";

/** A dense layer whose neurons have the given norms, and one after it. */
function layer(norms: readonly number[]): { graph: Graph; sites: Site[] } {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 1]);
  const w = net.graph.addInitializer("w", tensorOf("float32", [1, norms.length], norms));
  const bias = net.weight("b", [norms.length]);
  const hidden = net.op("Relu", [net.op("Gemm", [x, w, bias], {}, "fc")]);
  const graph = net.output(net.gemm("head", hidden, [norms.length, 2]));
  return { graph, sites: findSites(graph) };
}

test("groups at or under the threshold go, and those near it are counted", () => {
  const { sites } = layer([8, 1e-7, 0.07, 0.09, 0.5, 0]);
  const { plan, decisions } = planDeadGroups(sites);
  expect(decisions).toMatchObject([
    {
      sites: ["fc.neurons"],
      kind: "neurons",
      groups: 6,
      kept: [0, 3, 4],
      dead: [1, 2, 5],
      near: 2,
      rescued: 0,
    },
  ]);
  expect(decisions[0]!.threshold).toBeCloseTo(0.08);
  expect(plan.axes).toMatchObject([{ site: "fc.neurons", tensor: "w", axis: 1, kept: [0, 3, 4] }]);
  const strict = planDeadGroups(sites, { relative: 0, absolute: 0.6 });
  expect(strict.plan.axes[0]!.kept).toEqual([0]);
  expect(
    planDeadGroups(sites, { relative: 0, absolute: 0, sites: ["fc.neurons"] }).plan.axes[0]!.kept,
  ).toEqual([0, 1, 2, 3, 4]);
});

test("where nothing is dead the plan is empty; where all is, the strongest group stays", () => {
  expect(planDeadGroups(layer([1, 2, 3]).sites).plan.axes).toEqual([]);
  const { plan, decisions } = planDeadGroups(layer([1e-9, 1e-8, 0]).sites);
  expect(plan.axes[0]!.kept).toEqual([1]);
  expect(decisions[0]!.rescued).toBe(1);
});

test("biases stay in the model's function unless they are to go too", async () => {
  const { graph, sites } = layer([1, 0, 2]);
  const { plan } = planDeadGroups(sites);
  const exact = prune(graph, plan);
  expect((await verify(graph, exact.graph)).maxRelDiff).toBeLessThan(1e-6);
  expect(exact.report.removed).toEqual([{ site: "fc.neurons", groups: 3, kept: 2 }]);
  const { plan: both } = planDeadGroups(sites, { biases: true });
  expect(both.axes.map(({ tensor }) => tensor)).toEqual(["b", "w"]);
});

test("groups of another model are refused", () => {
  const dense = network("mlp");
  const { groups } = foldGates(insertGates(dense, findSites(dense), { sites: ["fc1.neurons"] }));
  const members = [{ ...groups[0]!.members[0]!, tensor: "elsewhere" }];
  const norms = Float64Array.of(1, 0, 1, 1, 1, 1, 1);
  expect(() => planDeadGroups(findSites(dense), { groups: [{ ...groups[0]!, norms, members }] })).toThrow(
    /axis 1 of "elsewhere" does not belong to site "fc1.neurons"/,
  );
  expect(() => planDeadGroups(layer([1, 2]).sites, { groups })).toThrow(/no site is called "fc1.neurons"/);
  expect(() => planDeadGroups([], { groups: [] })).toThrow(/no site/);
});

test("norms that are not finite are refused", () => {
  expect(() => planDeadGroups(layer([1, Number.NaN]).sites)).toThrow(
    /norm of group 1 is NaN; did training diverge/,
  );
});

/** The road from learned gates, here set by hand, to a smaller model. */
async function road(
  name: GatedNetwork,
  dead: Readonly<Record<string, readonly number[]>>,
  options: GateOptions = {},
) {
  const dense = network(name);
  const gated = insertGates(dense, findSites(dense), { depth: 3, initial: "balanced", ...options });
  const gates: Record<string, number[]> = {};
  for (const [site, groups] of Object.entries(dead)) {
    const gate = `${site}.gate.2`;
    const values = Array.from(readNumbers(gated.value(gate)!.data!));
    gates[gate] = values.map((g, j) => (groups.includes(j) ? 1e-9 : g));
  }
  const { graph: folded, groups } = foldGates(gated, { gates });
  const sites = findSites(folded);
  const { plan, decisions } = planDeadGroups(sites, { groups });
  const { graph: small, report } = prune(folded, plan);
  const masked = await verify(mask(folded, plan), small);
  const whole = await verify(folded, small);
  return { decisions, report, masked, whole };
}

const consumers: GateOptions["roles"] & {} = { neurons: ["consumer"], filters: ["consumer"] };

test.each<[GatedNetwork, Record<string, number[]>, GateOptions]>([
  ["mlp", { "fc1.neurons": [0, 3], "mid.neurons": [5] }, {}],
  ["cnn", { "c1.filters": [1, 2, 4], "c2.filters": [0] }, {}],
  ["residual", { "a.neurons": [2, 3] }, {}],
  ["concat", { "a.neurons": [0, 1], "b.neurons": [2] }, {}],
  ["mlp", { "fc1.neurons": [0, 3] }, { roles: { neurons: ["parameter"] } }],
  ["cnn", { "c1.filters": [1, 2, 4] }, { roles: { filters: ["parameter"] } }],
  ["split", { "wide.neurons": [0, 4], "wide.neurons.2": [1] }, { sites: ["neurons"], roles: consumers }],
  ["shuffled", { "c1.filters": [1, 3] }, { roles: consumers }],
  ["grouped", { "c1.filters": [1] }, { roles: { filters: ["parameter"] } }],
  ["grouped", { "c1.filters.2": [1, 3] }, { sites: ["c1.filters.2"], roles: { filters: ["parameter"] } }],
])("learned gates of %s lead to a smaller model that computes the same", async (name, dead, options) => {
  const { decisions, report, masked, whole } = await road(name, dead, options);
  const found = decisions.filter((decision) => decision.dead.length > 0);
  expect(Object.fromEntries(found.map((decision) => [decision.sites[0], decision.dead]))).toEqual(dead);
  expect(masked.maxRelDiff).toBeLessThan(1e-6);
  expect(whole.maxRelDiff).toBeLessThan(1e-6);
  expect(report.after.parameters).toBeLessThan(report.before.parameters);
  expect(report.keptBack).toEqual([]);
});

test("a layer whose only gate is zero goes as a whole", async () => {
  const { decisions, report, whole } = await road(
    "branches",
    { "b1/down.layer": [0] },
    { sites: ["layers"] },
  );
  expect(decisions.map(({ sites, dead }) => [...sites, ...dead])).toEqual([
    ["b0/down.layer"],
    ["b1/down.layer", 0],
    ["b2/down.layer"],
  ]);
  expect(whole.maxRelDiff).toBeLessThan(1e-6);
  // Both kernels and the bias between them; that of the branch's end stays in the stream.
  expect(report.before.parameters - report.after.parameters).toBe(6 * 8 + 8 + 8 * 6);
});

test("a dead head goes with its queries, keys and rows of the output", async () => {
  const { decisions, report, whole } = await road("attention", { "attn.heads": [1] }, { sites: ["heads"] });
  expect(decisions).toMatchObject([{ sites: ["attn.heads"], kind: "heads", groups: 3, dead: [1] }]);
  expect(whole.maxRelDiff).toBeLessThan(1e-6);
  // A third of q, k, v and o.
  expect(report.before.parameters - report.after.parameters).toBe(3 * (12 * 4 + 4) + 4 * 8);
});
