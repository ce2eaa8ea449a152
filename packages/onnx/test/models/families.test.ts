import {
  countCosts,
  findSites,
  type Graph,
  mask,
  planFrom,
  prune,
  type PruneReport,
  type Site,
  verify,
} from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { families } from "./families.ts";
import type { Family } from "./family.ts";

const nightly = process.env["DGATE_NIGHTLY"] !== undefined;

/** All of them for the first form of a family; the other forms differ in their nodes only. */
function sparsitiesOf({ variants }: Family, variant: string): readonly number[] {
  return nightly || variant === variants[0] ? [0.25, 0.5, 0.75] : [0.5];
}

interface Pruned {
  readonly pruned: Graph;
  readonly report: PruneReport;
}

/** Prunes every chosen site of a network and proves that the masked network computes the same. */
async function pruneFamily(
  family: Family,
  variant: string,
  sparsity: number,
  biases: boolean,
): Promise<Pruned> {
  const { build, width, chosen, dims = {} } = family;
  const dense = build(width, variant);
  const sites = chosen ? { sites: chosen } : {};
  const plan = planFrom(findSites(dense), { sparsity, biases, ...sites });
  const { graph: pruned, report } = prune(dense, plan, { dims });
  const { maxRelDiff } = await verify(mask(dense, plan), pruned, { runs: 2, dims });
  expect(maxRelDiff).toBeLessThan(1e-5);
  return { pruned, report };
}

/** The sites of widths: whole residual branches and input features are found elsewhere. */
const widthsOf = (graph: Graph): Site[] =>
  findSites(graph).filter(({ kind }) => kind === "filters" || kind === "neurons");

/** Sites that cannot be pruned by reason, without the numbers of nodes that have no name of their own. */
function sitesByReason(graph: Graph): Record<string, string[]> {
  const reasons: Record<string, string[]> = {};
  for (const { name, prunable } of widthsOf(graph)) {
    if (prunable !== true) (reasons[prunable.replace(/_\d+"/, '"')] ??= []).push(name);
  }
  return reasons;
}

const cases = families.flatMap((family) => family.variants.map((variant) => ({ family, variant })));

describe.each(cases)("$family.name, $variant", ({ family, variant }) => {
  const { width, dims = {} } = family;

  test("has the sites that its topology has, and says why the others are none", () => {
    const graph = family.build(width, variant);
    const open = widthsOf(graph).filter(({ prunable }) => prunable === true);
    const channels = new Set(open.map(({ channel }) => channel)).size;
    expect({ sites: open.length, channels }).toEqual(family.prunable(variant));
    expect(sitesByReason(graph)).toEqual(family.blocked(variant));
    expect(countCosts(graph, dims).macs).toBe(family.macs(width, variant));
  });

  test("shrinks to the network of smaller width: masked equals pruned, with the MACs of a hand count", async () => {
    for (const sparsity of sparsitiesOf(family, variant)) {
      const { pruned, report } = await pruneFamily(family, variant, sparsity, true);
      const smaller = width * (1 - sparsity);
      expect(report.keptBack).toEqual([]);
      expect(countCosts(pruned, dims).macs).toBe(family.macs(smaller, variant));
      expect(report.after.parameters).toBe(countCosts(family.build(smaller, variant), dims).parameters);
    }
  });

  test("with biases that stay, constants are folded or carried on", async () => {
    for (const sparsity of sparsitiesOf(family, variant)) {
      const { report } = await pruneFamily(family, variant, sparsity, false);
      const held = report.keptBack.filter(({ reason }) => !family.heldBack?.(variant)?.test(reason));
      for (const { reason } of held)
        expect(reason).toMatch(/Conv(Transpose)? ".*" (pads with zeros|spreads)/);
      // Of the dead channels of one space, at most one has to stay, at each site.
      const groups = held.reduce((total, each) => total + each.groups.length, 0);
      expect(groups).toBeLessThanOrEqual(family.prunable(variant).sites);
    }
  });
});
