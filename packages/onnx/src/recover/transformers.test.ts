import { expect, test } from "vitest";
import { transformerModels } from "../../test/models/models.ts";
import { patterns } from "../../test/models/patterns.ts";
import { feedsOf } from "../../test/models/transformer-model.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "../prune/prune.ts";
import { findSites } from "../sites/find-sites.ts";
import { recover } from "./recover.ts";

/** Whole models with something that no single layer has: tied layers, caches that shrink, branches, two towers. */
const whole = ["BERT", "ALBERT, tied layers", "GPT-2 with past", "Llama merged", "CLIP"];
const models = [...patterns, ...transformerModels.filter(({ name }) => whole.includes(name))];

test("the whole models are there", () => {
  expect(models.length).toBe(patterns.length + whole.length);
});

test.each(models)(
  "$name: half of what can go goes, and what reads it is fitted or named",
  async ({ build }) => {
    const model = build();
    const pruned = prune(model.graph, planFrom(findSites(model.graph), { sparsity: 0.5 }));
    const inputs = [1, 2, 3].map((seed) => feedsOf(model, seed));
    const { report } = await recover(model.graph, pruned, inputs);
    expect(report.layers.length + report.skipped.length).toBeGreaterThan(0);
    for (const { reason } of report.skipped) expect(reason).toMatch(/tied|branch of an If|^Einsum/);
    for (const { errorBefore, errorAfter } of report.layers)
      expect(errorAfter).toBeLessThanOrEqual(errorBefore);
    const taken = report.layers.filter((layer) => layer.taken);
    expect(taken.length).toBe(report.layers.length);
    for (const { errorBefore, errorAfter } of taken) expect(errorAfter).toBeLessThan(0.9 * errorBefore);
  },
  60_000,
);
