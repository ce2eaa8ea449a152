import { findAttention, findSites, type Graph, type PlanOptions, type Site } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { transformerModels } from "./models/models.ts";
import { patterns } from "./models/patterns.ts";
import { feedsOf, type TransformerModel } from "./models/transformer-model.ts";
import { proofOf, sitePlan } from "./prune-and-prove.ts";

/** What one head, and half of all heads, make of these models stands in `docs/coverage.md`: see `coverage.test.ts`. */

interface Outcome {
  readonly exact: boolean;
  readonly keptBack: number;
  readonly masked: boolean;
  readonly smaller: boolean;
}

const proven: Outcome = { exact: true, keptBack: 0, masked: true, smaller: true };

/** Prunes a test model on inputs that it is made for: masked equals pruned, the mask does something, and MACs are fewer. */
async function outcomeOf(model: TransformerModel, options: PlanOptions): Promise<Outcome> {
  const feeds = [feedsOf(model, 1), feedsOf(model, 2)];
  const plan = sitePlan(model.graph, options);
  const { report, difference, effect } = await proofOf(model.graph, plan, { runs: 0, feeds });
  return {
    exact: difference < 1e-5,
    keptBack: report.keptBack.length,
    masked: effect > 1e-3,
    smaller: report.after.macs < report.before.macs,
  };
}

const headSites = (graph: Graph): Site[] => findSites(graph).filter(({ kind }) => kind === "heads");

const all = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

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

  test("heads go unevenly, each layer its own", async () => {
    const sites = headSites(model.graph);
    const kept = Object.fromEntries(
      sites.map(({ name, groups }, i) => [name, all(groups).filter((head) => head !== i % groups)]),
    );
    expect(await outcomeOf(model, { kept })).toEqual(proven);
  });
});

describe.each(transformerModels)("$name", ({ build }) => {
  const model = build();
  const prunable = (wanted: string): boolean =>
    findSites(model.graph).some((site) => site.kind === wanted && site.prunable === true);

  test.runIf(prunable("headDims"))("half of the indices within every head go", async () => {
    expect(await outcomeOf(model, { sparsity: 0.5, sites: ["headDims"] })).toEqual(proven);
  });

  test.runIf(prunable("dimensions"))("half of the width goes with all that is tied to it", async () => {
    expect(await outcomeOf(model, { sparsity: 0.5, sites: ["dimensions"] })).toEqual(proven);
  });
});
