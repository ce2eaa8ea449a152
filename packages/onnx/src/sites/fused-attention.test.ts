import { describe, expect, test } from "vitest";
import { attentionForms } from "../../test/models/fused-forms.ts";
import { proofOf, sitePlan } from "../../test/prune-and-prove.ts";
import type { Graph } from "../graph/graph.ts";
import type { PlanOptions } from "../plan/plan-from.ts";
import type { VerifyOptions } from "../verify/verify.ts";
import { findAttention } from "./attention.ts";
import { findSites } from "./find-sites.ts";

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Prunes and compares with the mask; the mask itself must make a difference. */
async function pruneAndProve(graph: Graph, options: PlanOptions, verification: VerifyOptions = {}) {
  const proof = await proofOf(graph, sitePlan(graph, options), verification);
  expect(proof.difference).toBeLessThan(2e-6);
  expect(proof.effect).toBeGreaterThan(1e-3);
  expect(proof.report.keptBack).toEqual([]);
  return proof;
}

describe.each(attentionForms)("$name", ({ heads, kvHeads, headDim, build, dims }) => {
  const verification: VerifyOptions = dims ? { dims } : {};
  const groups = kvHeads === 1 ? heads : kvHeads;

  test("its heads are found", () => {
    const [layer] = findAttention(build());
    expect(layer).toMatchObject({ heads, kvHeads, headDim, prunable: true });
    const sites = findSites(build()).filter(({ kind }) => kind === "heads");
    expect(sites.map((site) => site.groups)).toEqual([groups]);
  });

  test("half of the heads go, and the output is that of the mask", async () => {
    const graph = build();
    const { pruned } = await pruneAndProve(graph, { sparsity: 0.5, sites: ["heads"] }, verification);
    const left = Math.max(1, Math.round(groups / 2));
    const ratio = heads / groups;
    const expected = { heads: left * ratio, kvHeads: kvHeads === 1 ? 1 : left, headDim };
    expect(findAttention(pruned)[0]).toMatchObject(expected);
  });

  test("any one head goes, and the output is that of the mask", async () => {
    for (const gone of range(groups)) {
      const graph = build(gone + 2);
      const name = findSites(graph).find(({ kind }) => kind === "heads")!.name;
      const kept = { [name]: range(groups).filter((head) => head !== gone) };
      const { pruned } = await pruneAndProve(graph, { kept }, { ...verification, runs: 1 });
      expect(findAttention(pruned)[0]!.heads).toBe(heads - heads / groups);
    }
  });
});
