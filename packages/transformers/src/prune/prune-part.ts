import { DgateError, type PrunePlan } from "@dgate/core";
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
  const plan = withBiases(
    planFrom(sites, { kept: Object.fromEntries(keptSites(sites, blocks, kept)) }),
    sites,
    kept,
  );
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

/**
 * A branch that goes because all its heads or neurons are off still gives its bias, as the gated model does: only its weight is planned, so that the bias
 * stays. One that is itself off goes with its bias.
 */
function withBiases(plan: PrunePlan, sites: readonly Site[], kept: KeptGroups): PrunePlan {
  const weights = new Map(
    sites
      .filter(({ kind, name }) => kind === "layers" && kept.get(name)?.length !== 0)
      .map(({ name, tensor }) => [name, tensor]),
  );
  return { ...plan, axes: plan.axes.filter(({ site, tensor }) => (weights.get(site) ?? tensor) === tensor) };
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
 * What stays by the name of the graph's sites. A block that keeps nothing is removed as a residual branch, but for its bias, where it is one; else its first group
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
    if (groups.length > 0) for (const name of names) found.set(name, ownGroups(sites, block, name, groups));
    else if (block.group === "layers") found.set(block.name, []);
    else {
      const branch = branchOf(sites, block);
      if (branch && !block.cached) found.set(branch.name, []);
      else for (const name of names) found.set(name, [0]);
    }
  }
  return found;
}

/**
 * Groups of a block by the numbers of its site in the graph. Weights of 4 bits lie in blocks that several groups may share: these go together or not at all.
 *
 * @throws DgateError `UNSUPPORTED` for groups of which a block of codes holds others too
 */
function ownGroups(
  sites: readonly Site[],
  block: GatedBlock,
  name: string,
  groups: readonly number[],
): readonly number[] {
  const together = block.groups / (sites.find((site) => site.name === name)?.groups ?? block.groups);
  if (together === 1) return groups;
  const found = [...new Set(groups.map((group) => Math.floor(group / together)))];
  if (found.length * together === groups.length) return found;
  throw new DgateError(
    "UNSUPPORTED",
    `prune: the codes of "${name}" lie in blocks of ${together} groups, which can only go together, and some of a block stay; ` +
      'keep whole blocks, or prune the float file: { dtype: "fp32" }.',
  );
}

/** The residual branch that a block ends in, if it can go as a whole. */
function branchOf(sites: readonly Site[], { site }: GatedBlock): Site | undefined {
  const readers = new Set(site.coupled.filter(({ role }) => role === "consumer").map(({ tensor }) => tensor));
  return sites.find((each) => each.kind === "layers" && each.prunable === true && readers.has(each.tensor));
}
