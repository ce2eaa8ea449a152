import {
  findAttention,
  findSites,
  type Graph,
  mask,
  planFrom,
  type PlanOptions,
  prune,
  type PruneReport,
  type Site,
  verify,
  type Verification,
} from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { transformerModels } from "./models/models.ts";
import { patterns } from "./models/patterns.ts";
import { feedsOf, type TransformerModel } from "./models/transformer-model.ts";

interface Pruned {
  readonly report: PruneReport;
  /** Masked against pruned. */
  readonly proof: Verification;
  /** The model against the masked one: what the mask changes. */
  readonly change: Verification;
}

/** Prunes a test model and compares with the masked one, on inputs that the model is made for. */
async function pruned(
  model: TransformerModel,
  sites: readonly Site[],
  options: PlanOptions,
): Promise<Pruned> {
  const { graph } = model;
  const plan = planFrom(sites, options);
  const { graph: small, report } = prune(graph, plan);
  const masked = mask(graph, plan);
  const feeds = [feedsOf(model, 1), feedsOf(model, 2)];
  const { inputs, outputs } = report;
  const proof = await verify(masked, small, { runs: 0, feeds, inputs, outputs });
  return { report, proof, change: await verify(graph, masked, { runs: 0, feeds }) };
}

const headSites = (graph: Graph): Site[] => findSites(graph).filter(({ kind }) => kind === "heads");

const all = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

function expectExact({ report, proof, change }: Pruned): void {
  expect(report.keptBack).toEqual([]);
  expect(proof.maxRelDiff).toBeLessThan(1e-5);
  expect(change.maxRelDiff).toBeGreaterThan(1e-3);
  expect(report.after.macs).toBeLessThan(report.before.macs);
}

describe.each([...patterns, ...transformerModels])("$name", ({ build }) => {
  const model = build();

  test("its attention layers are found, with heads, key–value heads and head dim", () => {
    const found = findAttention(model.graph).map(({ heads, kvHeads, headDim, prunable }) => {
      return { heads, kvHeads, headDim, prunable };
    });
    expect(found).toEqual(
      model.attention.map(({ heads, kvHeads, headDim }) => ({ heads, kvHeads, headDim, prunable: true })),
    );
  });

  test("one head removed equals one head masked", async () => {
    const sites = headSites(model.graph);
    const [site] = sites;
    const kept = { [site!.name]: all(site!.groups).filter((head) => head !== 1) };
    const result = await pruned(model, sites, { kept });
    expectExact(result);
    expect(result.report.removed[0]).toMatchObject({ groups: site!.groups, kept: site!.groups - 1 });
  });

  test("half of all heads removed equals half of all heads masked", async () => {
    expectExact(await pruned(model, headSites(model.graph), { sparsity: 0.5 }));
  });

  test("heads go unevenly, each layer its own", async () => {
    const sites = headSites(model.graph);
    const kept = Object.fromEntries(
      sites.map(({ name, groups }, i) => [name, all(groups).filter((head) => head !== i % groups)]),
    );
    expectExact(await pruned(model, sites, { kept }));
  });
});

describe.each(transformerModels)("$name", ({ build }) => {
  const model = build();

  test("half of everything that goes by default removed at once equals masked", async () => {
    expectExact(await pruned(model, findSites(model.graph), { sparsity: 0.5 }));
  });

  test("half of the indices within every head removed equals masked", async () => {
    const sites = findSites(model.graph);
    if (!sites.some(({ kind, prunable }) => kind === "headDims" && prunable === true)) return;
    expectExact(await pruned(model, sites, { sparsity: 0.5, sites: ["headDims"] }));
  });
});
