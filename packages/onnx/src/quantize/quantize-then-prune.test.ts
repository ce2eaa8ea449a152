import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { attentionNet, denseNet } from "../../test/models/quantizable.ts";
import { indicesOf } from "../coupling/analyse.ts";
import type { Graph } from "../graph/graph.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { planFrom } from "../plan/plan-from.ts";
import type { PlanOptions } from "../plan/plan-options.ts";
import { mask } from "../prune/mask.ts";
import { prune } from "../prune/prune.ts";
import { withSlices } from "../prune/zero-quantized.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { quantizeBlocks } from "./quantize-blocks.ts";
import { quantizeDynamic } from "./quantize-dynamic.ts";

const all = { minimumElements: 0 };

const prunedBy = (graph: Graph, options: PlanOptions): Graph =>
  prune(graph, planFrom(findSites(graph), options)).graph;

/** The constants of a graph by name. */
const constantsOf = (graph: Graph) =>
  Object.fromEntries(
    graph.initializers.map(({ name, data }) => [name, [data!.dtype, data!.shape, [...readNumbers(data!)]]]),
  );

const networks: Readonly<Record<string, (seed: number) => Graph>> = {
  "an MLP": (seed) => denseNet(seed, 32, [64, 48, 5], 3),
  "a transformer block": (seed) => attentionNet(seed, { width: 32, heads: 4, headDim: 16, neurons: 64 }),
};

/** Every second group of the sites that are pruned where none are named. */
function half(graph: Graph): PlanOptions {
  const sites = findSites(graph).filter(
    ({ prunable, kind }) => prunable === true && ["heads", "neurons"].includes(kind),
  );
  return {
    kept: Object.fromEntries(
      sites.map(({ name, groups }) => [name, Array.from({ length: Math.ceil(groups / 2) }, (_, i) => 2 * i)]),
    ),
  };
}

/** A layer's range must not count the rows that read what goes: they are zeroed before it is measured. */
function withoutDeadRows(graph: Graph, options: PlanOptions): Graph {
  const masked = mask(graph, planFrom(findSites(graph), options));
  for (const { name, groups, coupled } of findSites(masked)) {
    const kept = options.kept?.[name];
    if (!kept) continue;
    const dead = Array.from({ length: groups }, (_, i) => i).filter((i) => !kept.includes(i));
    for (const { tensor, axis, role, places } of coupled) {
      if (role !== "consumer") continue;
      const value = masked.value(tensor)!;
      const indices = dead.flatMap((group) => places.flatMap((place) => indicesOf(place, group)));
      masked.setData(
        value,
        withSlices(value.data!, axis, indices, () => 0),
      );
    }
  }
  return masked;
}

describe.each(Object.entries(networks))("%s", (_, build) => {
  test.each(["int8", "uint8"] as const)(
    "quantized and then pruned is pruned and then quantized, bit for bit, with a scale per channel in %s",
    (weightType) => {
      fc.assert(
        fc.property(fc.nat(1000), (seed) => {
          const graph = build(seed);
          const options = half(graph);
          const first = prunedBy(
            quantizeDynamic(withoutDeadRows(graph, options), { ...all, weightType }).graph,
            options,
          );
          const last = quantizeDynamic(prunedBy(graph, options), { ...all, weightType }).graph;
          expect(constantsOf(first)).toEqual(constantsOf(last));
        }),
        { numRuns: 5 },
      );
    },
  );

  test("outputs that go take their scales along: other channels keep theirs", () => {
    const graph = build(3);
    const last = findSites(graph)
      .filter(({ prunable, kind }) => prunable === true && kind === "neurons")
      .at(-1)!;
    const kept = { [last.name]: Array.from({ length: last.groups / 2 }, (__, i) => i) };
    const whole = constantsOf(quantizeDynamic(graph, all).graph);
    const pruned = constantsOf(prunedBy(quantizeDynamic(graph, all).graph, { kept }));
    const [name] = last.name.split(".neurons");
    const [, , scales] = pruned[`${name}/kernel_scale`]!;
    expect(scales).toEqual((whole[`${name}/kernel_scale`]![2] as number[]).slice(0, last.groups / 2));
  });

  test("blocks go as outputs of every size: masked equals pruned", async () => {
    const graph = quantizeBlocks(build(4), { ...all, blockSize: 16 }).graph;
    const plan = planFrom(findSites(graph), { keep: 0.5 });
    const { graph: small, report } = prune(graph, plan);
    expect(report.keptBack).toEqual([]);
    expect(report.after.bytes).toBeLessThan(report.before.bytes);
    expect((await verify(mask(graph, plan), small, { runtime: "node" })).maxRelDiff).toBeLessThan(1e-5);
  });
});
