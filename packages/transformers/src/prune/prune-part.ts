import type { PrunePlan } from "@dgate/core";
import {
  findSites,
  foldGates,
  type Graph,
  mask,
  planFrom,
  prove,
  prune,
  type PruneReport,
  type RunnerOptions,
  type Site,
  type Verification,
} from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import type { LiveGraph } from "../gates/live-graph.ts";
import type { KeptGroups } from "./choose-groups.ts";
import { imageDims } from "./dims.ts";

/** What is removed from one file, and how it is proven. */
export interface PrunePartOptions {
  /** The blocks of the graph. */
  readonly blocks: readonly GatedBlock[];
  /** Groups that stay; a block that is not named stays whole. */
  readonly kept: KeptGroups;
  readonly dims: Readonly<Record<string, number>>;
  readonly engine: Pick<RunnerOptions, "ort" | "runtime">;
  readonly signal?: AbortSignal;
}

/** A file without what was turned off. */
export interface PrunedPart {
  /** The model with the removed groups zeroed: what the pruned one is proven against. */
  readonly masked: Graph;
  readonly graph: Graph;
  readonly plan: PrunePlan;
  readonly report: PruneReport;
  readonly verification: Verification;
}

/**
 * Removes groups from a graph and proves the result equal to the masked one on random inputs.
 *
 * @throws DgateError `CHECK` if they differ
 */
export async function prunePart(
  graph: Graph,
  { blocks, kept, dims, engine, signal }: PrunePartOptions,
): Promise<PrunedPart> {
  const sites = findSites(graph);
  const plan = planFrom(sites, { kept: Object.fromEntries(keptSites(sites, blocks, kept)) });
  const masked = mask(graph, plan);
  const { graph: pruned, report } = prune(graph, plan, { dims });
  const verification = await prove(masked, pruned, {
    ...engine,
    dims: imageDims(dims),
    inputs: report.inputs,
    outputs: report.outputs,
    ...(signal && { signal }),
  });
  return { masked, graph: pruned, plan, report, verification };
}

/** Multiplies gates into the weights that read the groups; gates of one leave the weights as they are. */
export function foldLive({ graph, inputs }: LiveGraph, gates: ReadonlyMap<string, Float64Array>): Graph {
  const given = [...inputs].flatMap(([block, input]) => {
    const values = gates.get(block);
    return values ? [[input, values] as const] : [];
  });
  return foldGates(graph, { gates: Object.fromEntries(given) }).graph;
}

/**
 * What stays by the name of the graph's sites. A block that keeps nothing is removed as a residual branch where it is one; else its first group
 * stays, zeroed by its gate.
 */
export function keptSites(
  sites: readonly Site[],
  blocks: readonly GatedBlock[],
  kept: KeptGroups,
): Map<string, readonly number[]> {
  const found = new Map<string, readonly number[]>();
  for (const block of blocks) {
    const groups = kept.get(block.name);
    if (!groups || groups.length === block.groups) continue;
    const names = block.sites.map(({ name }) => name);
    if (groups.length > 0) for (const name of names) found.set(name, groups);
    else if (block.group === "layers") found.set(block.name, []);
    else {
      const branch = branchOf(sites, block);
      if (branch && !block.cached) found.set(branch.name, []);
      else for (const name of names) found.set(name, [0]);
    }
  }
  return found;
}

/** The residual branch that a block ends in, if it can go as a whole. */
function branchOf(sites: readonly Site[], { site }: GatedBlock): Site | undefined {
  const readers = new Set(site.coupled.filter(({ role }) => role === "consumer").map(({ tensor }) => tensor));
  return sites.find((each) => each.kind === "layers" && each.prunable === true && readers.has(each.tensor));
}
