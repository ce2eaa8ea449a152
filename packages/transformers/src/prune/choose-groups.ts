import { DgateError } from "@dgate/core";
import type { GatedBlock, SiteGroup } from "../blocks/block.ts";
import { branchesOf, keptCost } from "./kept-cost.ts";

/** Which groups of each block stay, by the block's name. */
export type KeptGroups = ReadonlyMap<string, readonly number[]>;

/** Scores of groups by the block's name: larger stays. */
export type Scores = ReadonlyMap<string, Float64Array>;

/** How groups of several layers are chosen. */
export interface ChooseOptions {
  /** What one group of a block costs; 1 if left out, so that a budget counts groups. */
  readonly costOf?: (block: GatedBlock) => number;
  /** The same number of heads in every layer. */
  readonly even?: boolean;
  /** At least so many groups of each layer stay (default 1); of residual branches none has to. */
  readonly minimum?: number;
  /** Neurons of a feed-forward layer go in steps of this number, so that its width stays a multiple (default 1). */
  readonly align?: number;
  /** Who asks, for messages (default `prune`). */
  readonly where?: string;
}

/** What was chosen. */
export interface Choice {
  readonly kept: KeptGroups;
  /** Cost of what stays. */
  readonly cost: number;
}

/** Groups that go together, or stay. */
interface Unit {
  readonly members: readonly { readonly block: string; readonly group: number }[];
  readonly score: number;
  readonly cost: number;
}

/** What groups are called. */
export const nouns: Readonly<Record<SiteGroup, string>> = {
  heads: "heads",
  ffn: "neurons",
  layers: "layers",
};

/**
 * Removes the weakest groups of all blocks, ranked together, until what stays costs no more than `budget`; or as many as may go, if that is not
 * enough: look at `cost`.
 *
 * @throws DgateError `DATA` for a score that is NaN or missing, `OPTION` for options out of range
 */
export function chooseGroups(
  blocks: readonly GatedBlock[],
  scores: Scores,
  budget: number,
  options: ChooseOptions = {},
): Choice {
  const { costOf = () => 1, minimum = 1, align = 1, where = "prune" } = options;
  checkCount("minimum", minimum, 0);
  checkCount("align", align, 1);
  checkScores(where, blocks, scores);
  const units = unitsOf(blocks, scores, options).sort((a, b) => a.score - b.score || b.cost - a.cost);
  const gone = new Map(blocks.map(({ name }) => [name, new Set<number>()]));
  const left = ({ name, groups }: GatedBlock): number => groups - gone.get(name)!.size;
  const branches = branchesOf(blocks);
  const isGone = (name: string): boolean => {
    const branch = branches.get(name);
    return branch !== undefined && left(branch) === 0;
  };
  let cost = keptCost(blocks, branches, costOf, left);
  for (const { members } of units) {
    // Costs are sums of fractions: a budget of just what stays is met.
    if (cost <= budget + 1e-9 * Math.abs(budget)) break;
    if (members.every(({ block }) => isGone(block))) continue;
    for (const { block, group } of members) gone.get(block)!.add(group);
    cost = keptCost(blocks, branches, costOf, left);
  }
  const kept = blocks.map(({ name, groups }) => {
    const own = gone.get(name)!;
    return [
      name,
      Array.from({ length: groups }, (_, group) => group).filter((group) => !own.has(group)),
    ] as const;
  });
  return { kept: new Map(kept), cost };
}

/** @throws DgateError `OPTION` */
export function checkCount(name: string, value: number, least: number): void {
  if (Number.isSafeInteger(value) && value >= least) return;
  throw new DgateError("OPTION", `prune: ${name} is ${value}, expected a whole number of at least ${least}.`);
}

/** Everything that may go, in units: within a block the weakest groups come first. */
function unitsOf(
  blocks: readonly GatedBlock[],
  scores: Scores,
  { costOf = () => 1, even = false, minimum = 1, align = 1 }: ChooseOptions,
): Unit[] {
  const units: Unit[] = [];
  for (const block of blocks) {
    if (even && block.group === "heads") continue;
    const order = ranked(block, scores);
    const step = block.group === "ffn" ? Math.min(align, block.groups) : 1;
    const least = block.group === "layers" ? 0 : block.group === "ffn" ? Math.max(minimum, step) : minimum;
    // The first step leaves a multiple.
    for (
      let from = 0, size = block.groups % step || step;
      from + size <= block.groups - least;
      from += size, size = step
    ) {
      units.push(unitOf([block], [order.slice(from, from + size)], scores, costOf));
    }
  }
  if (even) units.push(...evenUnits(blocks, scores, costOf, minimum));
  return units;
}

/** The weakest head of every layer, then the second weakest of every layer …. */
function evenUnits(
  all: readonly GatedBlock[],
  scores: Scores,
  costOf: (block: GatedBlock) => number,
  minimum: number,
): Unit[] {
  const blocks = all.filter(({ group }) => group === "heads");
  if (blocks.length === 0) return [];
  const orders = blocks.map((block) => ranked(block, scores));
  const count = Math.min(...blocks.map(({ groups }) => groups)) - minimum;
  return Array.from({ length: Math.max(0, count) }, (_, at) =>
    unitOf(
      blocks,
      orders.map((order) => [order[at]!]),
      scores,
      costOf,
    ),
  );
}

function unitOf(
  blocks: readonly GatedBlock[],
  groups: readonly (readonly number[])[],
  scores: Scores,
  costOf: (block: GatedBlock) => number,
): Unit {
  const members = blocks.flatMap(({ name }, at) => groups[at]!.map((group) => ({ block: name, group })));
  const score =
    members.reduce((sum, { block, group }) => sum + scores.get(block)![group]!, 0) / members.length;
  const cost = blocks.reduce((sum, block, at) => sum + groups[at]!.length * costOf(block), 0);
  return { members, score, cost };
}

function ranked({ name, groups }: GatedBlock, scores: Scores): number[] {
  const own = scores.get(name)!;
  return Array.from({ length: groups }, (_, group) => group).sort((a, b) => own[a]! - own[b]! || b - a);
}

function checkScores(where: string, blocks: readonly GatedBlock[], scores: Scores): void {
  for (const { name, groups } of blocks) {
    const own = scores.get(name);
    for (let group = 0; group < groups; group++) {
      const score = own?.[group];
      if (score === undefined) {
        throw new DgateError(
          "DATA",
          `${where}: scores have nothing for group ${group} of "${name}"; give one number for each group of every block, as importance does.`,
        );
      }
      if (Number.isNaN(score))
        throw new DgateError("DATA", `${where}: the score of group ${group} of "${name}" is NaN.`);
    }
  }
}
