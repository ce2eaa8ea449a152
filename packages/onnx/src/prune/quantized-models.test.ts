import { describe, expect, test } from "vitest";
import { attentionNet, convNet, denseNet, rmsNet } from "../../test/models/quantizable.ts";
import { type QuantizedForm, quantizedForms } from "../../test/models/all-quantized-forms.ts";
import type { Graph } from "../graph/graph.ts";
import { countCosts } from "../sites/count-costs.ts";
import { findSites } from "../sites/find-sites.ts";
import type { Site } from "../sites/site.ts";
import { verify } from "../verify/verify.ts";
import { mask } from "./mask.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "./prune.ts";

const networks: Readonly<Record<string, () => Graph>> = {
  "an MLP of Gemms": () => denseNet(1, 32, [64, 128, 5]),
  "an MLP of MatMuls": () => denseNet(2, 32, [64, 128, 5], 3),
  "a CNN": () => convNet(3),
  "a normalised residual stream": () => rmsNet(6, 64, 128),
  "a transformer block": () => attentionNet(4, { width: 32, heads: 4, headDim: 16, neurons: 64 }),
};

/** A mean over channels is a float sum, which rounds otherwise with fewer of them: a step of the next quantization. */
const limitOf = (network: string, { equal }: QuantizedForm): number =>
  network === "a normalised residual stream" ? Math.max(equal, 0.02) : equal;

const cases = Object.entries(networks).flatMap(([network, build]) =>
  Object.entries(quantizedForms)
    .filter(([, { denseOnly }]) => !(denseOnly && network === "a CNN"))
    .map(([form, quantized]) => ({ network, form, build, quantized })),
);

const prunable = (sites: readonly Site[]): Site[] => sites.filter((site) => site.prunable === true);

/** Sites that are pruned where none are named, with their groups. */
const layersOf = (sites: readonly Site[]): Record<string, number> =>
  Object.fromEntries(
    prunable(sites)
      .filter(({ kind }) => kind === "neurons" || kind === "filters" || kind === "heads")
      .map(({ name, groups }) => [name, groups]),
  );

/** The groups of the float model's sites, as far as whole blocks of the next layer's inputs make them. */
function expectedGroups(float: readonly Site[], block: number | undefined): Record<string, number> {
  const sizes = { heads: 16, neurons: 1, filters: 1 } as const;
  return Object.fromEntries(
    Object.entries(layersOf(float)).map(([name, groups]) => {
      const size = sizes[float.find((site) => site.name === name)!.kind as keyof typeof sizes]; // layersOf names these kinds
      return [name, block === undefined ? groups : (groups * size) / Math.max(block, size)];
    }),
  );
}

describe.each(cases)("$network, $form", ({ network, build, quantized }) => {
  test("computes what the float model computes, nearly, and has its sites", async () => {
    const float = build();
    const graph = await quantized.make(float);
    const { maxRelDiff } = await verify(float, graph, { runtime: "node" });
    expect(maxRelDiff).toBeGreaterThan(0);
    expect(maxRelDiff).toBeLessThan(quantized.near);
    expect(layersOf(findSites(graph))).toEqual(expectedGroups(findSites(float), quantized.block));
    expect(countCosts(graph).macs).toBe(countCosts(float).macs);
    expect(countCosts(graph).parameters).toBe(countCosts(float).parameters);
  });

  test("one group, and half of all groups: masked equals pruned, and nothing planned stays", async () => {
    const graph = await quantized.make(build());
    const before = String(graph);
    const sites = findSites(graph);
    // A layer of a residual stream goes with the others only.
    const first = prunable(sites).find(({ name, kind, channel }) => {
      return kind !== "inputs" && sites.every((site) => site.name === name || site.channel !== channel);
    })!;
    const one = Array.from({ length: first.groups - 1 }, (_, i) => i + 1);
    const plans = [planFrom(sites, { kept: { [first.name]: one } }), planFrom(sites, { keep: 0.5 })];
    for (const plan of plans) {
      const { graph: pruned, report } = prune(graph, plan);
      const found = await verify(mask(graph, plan), pruned, { runtime: "node" });
      expect(found.maxRelDiff).toBeLessThanOrEqual(limitOf(network, quantized));
      expect(found.acceptable).toBe(true);
      expect(report.keptBack).toEqual([]);
      expect(report.after.bytes).toBeLessThan(report.before.bytes);
    }
    expect(String(graph)).toBe(before);
  });

  test("half of the groups leaves the parameters that the float model has left, and takes their bytes", async () => {
    const float = build();
    const graph = await quantized.make(float);
    const { report } = prune(graph, planFrom(findSites(graph), { keep: 0.5 }));
    const expected = prune(float, planFrom(findSites(float), { keep: 0.5 })).report;
    expect(report.after.parameters).toBe(expected.after.parameters);
    expect(report.after.macs).toBe(expected.after.macs);
    // Where nothing but parameters counts, bytes shrink as they do; scales for all of a layer's channels stay.
    const ratio = expected.after.parameters / expected.before.parameters;
    expect(report.after.bytes / report.before.bytes).toBeLessThan(ratio + 0.1);
  });

  test("biases that are kept: what cannot go exactly stays, and masked equals pruned", async () => {
    const graph = await quantized.make(build());
    const plan = planFrom(findSites(graph), { keep: 0.5, biases: false });
    const { graph: pruned, report } = prune(graph, plan);
    const found = await verify(mask(graph, plan), pruned, { runtime: "node" });
    expect(found.maxRelDiff).toBeLessThanOrEqual(limitOf(network, quantized));
    for (const { reason } of report.keptBack) expect(reason).not.toBe("");
  });
});

test.each(Object.keys(quantizedForms))("%s: masked equals pruned in WASM too", async (form) => {
  const float = attentionNet(5, { width: 32, heads: 4, headDim: 16, neurons: 64 });
  const graph = await quantizedForms[form]!.make(float);
  const plan = planFrom(findSites(graph), { keep: 0.5 });
  const found = await verify(mask(graph, plan), prune(graph, plan).graph, { runtime: "web", runs: 1 });
  expect(found.maxRelDiff).toBeLessThanOrEqual(quantizedForms[form]!.equal);
});
