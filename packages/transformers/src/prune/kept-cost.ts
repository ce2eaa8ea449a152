import type { GatedBlock } from "../blocks/block.ts";

/** What one group of a block costs. */
export type CostOf = (block: GatedBlock) => number;

/** Residual branches by the name of the heads or neurons that end in them. */
export type Branches = ReadonlyMap<string, GatedBlock>;

/** The residual branches among some blocks in which others of them end: these go with the branch. */
export function branchesOf(blocks: readonly GatedBlock[]): Branches {
  const layers = blocks.filter(({ group }) => group === "layers");
  const found = new Map<string, GatedBlock>();
  for (const { name, file, group, site } of layers.length > 0 ? blocks : []) {
    if (group === "layers") continue;
    const readers = site.coupled.filter(({ role }) => role === "consumer").map(({ tensor }) => tensor);
    const branch = layers.find((each) => each.file === file && readers.includes(each.site.tensor));
    if (branch) found.set(name, branch);
  }
  return found;
}

/**
 * Cost of what stays of some blocks. A residual branch costs what is in it, its heads or neurons among that: they count once, and not at all in a branch
 * that is gone.
 *
 * @param stays number of groups of a block that stay
 */
export function keptCost(
  blocks: readonly GatedBlock[],
  branches: Branches,
  costOf: CostOf,
  stays: (block: GatedBlock) => number,
): number {
  return blocks.reduce((sum, block) => {
    const branch = branches.get(block.name);
    if (!branch) return sum + stays(block) * costOf(block);
    return stays(branch) === 0 ? sum : sum - (block.groups - stays(block)) * costOf(block);
  }, 0);
}
