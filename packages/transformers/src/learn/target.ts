import { DgateError } from "@dgate/core";
import type { Graph } from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import {
  type Choice,
  chooseGroups,
  type ChooseOptions,
  type KeptGroups,
  type Scores,
} from "../prune/choose-groups.ts";
import { groupCosts } from "../prune/group-costs.ts";
import { branchesOf, keptCost } from "../prune/kept-cost.ts";
import type { LearnOptions, Target } from "./learn-options.ts";

/** Below this part of the value that it started with a gate counts as dead while λ grows. */
export const aliveAbove = 0.2;

/** What a target means for the groups of a model. */
export interface ResolvedTarget {
  /** Weight s_j of the penalty of each block: what a group costs, the dearest 1. */
  readonly weights: ReadonlyMap<string, number>;
  /** Fraction that is left with these groups alive, in the target's own measure. */
  fraction(alive: KeptGroups): number;
  /** Fraction to be reached. */
  readonly goal: number;
  /** The least fraction that can be reached. */
  least(scores: Scores): number;
  /**
   * The strongest groups that meet a fraction.
   * @throws DgateError `OPTION` saying the closest if it cannot be met
   */
  choose(scores: Scores, fraction: number): KeptGroups;
}

/** How a target is resolved. */
interface Resolving extends Pick<LearnOptions, "even" | "minimum"> {
  readonly dims: Readonly<Record<string, number>>;
  readonly align: number;
}

/**
 * What is to be reached, for the blocks that are gated. A speed-up is sought as a fraction of multiply–adds: `fractionForSpeedup` finds which.
 *
 * @throws DgateError `OPTION` for a fraction out of range
 */
export function resolveTarget(
  graph: Graph,
  blocks: readonly GatedBlock[],
  target: Target,
  options: Resolving,
): ResolvedTarget {
  const { dims, align } = options;
  const bounds = {
    where: "learn",
    even: options.even ?? blocks.some(({ cached }) => cached),
    minimum: options.minimum ?? 1,
  };
  const [name, goal] = entryOf(target);
  if (name === "heads") return headTarget(blocks, goal, bounds);
  const costs = groupCosts(graph, blocks, dims);
  const costOf = (block: GatedBlock): number => costs.perGroup.get(block.name)! / costs.total;
  const branches = branchesOf(blocks);
  const fixed = 1 - keptCost(blocks, branches, costOf, ({ groups }) => groups);
  const dearest = Math.max(...blocks.map(costOf));
  return {
    weights: new Map(blocks.map((block) => [block.name, costOf(block) / dearest])),
    goal: name === "speedup" ? 1 / goal : goal,
    fraction: (alive) =>
      fixed + keptCost(blocks, branches, costOf, ({ name: own, groups }) => alive.get(own)?.length ?? groups),
    least: (scores) => fixed + chooseGroups(blocks, scores, 0, { ...bounds, costOf, align }).cost,
    choose(scores, fraction) {
      const choice = chooseGroups(blocks, scores, fraction - fixed, { ...bounds, costOf, align });
      return reached(choice, fixed, fraction, "multiply–adds");
    },
  };
}

/**
 * Looks, before anything is trained, whether a target can be reached with all that may go gone. Whether a speed-up can, only timing tells.
 *
 * @throws DgateError `OPTION` saying the closest
 */
export function checkReachable(
  resolved: ResolvedTarget,
  blocks: readonly GatedBlock[],
  target: Target,
): void {
  if ("speedup" in target) return;
  resolved.choose(new Map(blocks.map(({ name, groups }) => [name, new Float64Array(groups)])), resolved.goal);
}

function headTarget(blocks: readonly GatedBlock[], goal: number, bounds: ChooseOptions): ResolvedTarget {
  const heads = blocks.filter(({ group }) => group === "heads");
  const count = heads.reduce((sum, { groups }) => sum + groups, 0);
  if (count === 0) {
    throw new DgateError(
      "OPTION",
      'learn: target { heads } needs gates for heads; open with sites: ["heads"], or give { macs }.',
    );
  }
  return {
    weights: new Map(),
    goal,
    fraction: (alive) =>
      heads.reduce((sum, block) => sum + (alive.get(block.name)?.length ?? block.groups), 0) / count,
    least: (scores) => chooseGroups(heads, scores, 0, bounds).cost / count,
    choose(scores, fraction) {
      const budget = Math.round(fraction * count);
      const choice = chooseGroups(heads, scores, budget, bounds);
      if (choice.cost > budget) unreached(fraction, choice.cost / count, "heads");
      return choice.kept;
    },
  };
}

function reached({ kept, cost }: Choice, fixed: number, fraction: number, what: string): KeptGroups {
  const left = fixed + cost;
  if (left <= fraction + 1e-9) return kept;
  return unreached(fraction, left, what);
}

function unreached(fraction: number, left: number, what: string): never {
  const more = what === "heads" ? "" : 'open with sites: ["heads", "ffn"], ';
  throw new DgateError(
    "OPTION",
    `learn: the target of ${percent(fraction)} of the ${what} cannot be reached: with all that may go gone, ${percent(left)} are left. ` +
      `Ask for that, ${more}or lower { minimum }.`,
  );
}

const percent = (fraction: number): string => `${(100 * fraction).toFixed(1)} %`;

function entryOf(target: Target): ["heads" | "macs" | "speedup", number] {
  const entries = Object.entries(target) as ["heads" | "macs" | "speedup", number][]; // its one key, checked below
  const [name, value] = entries[0] ?? ["heads", Number.NaN];
  const fits =
    typeof value !== "number"
      ? false
      : name === "speedup"
        ? value >= 1 && value < Infinity
        : value > 0 && value <= 1;
  if (entries.length === 1 && ["heads", "macs", "speedup"].includes(name) && fits) return [name, value];
  throw new DgateError(
    "OPTION",
    `learn: target is ${JSON.stringify(target)}, expected { heads: FRACTION }, { macs: FRACTION } (above 0, at most 1: what stays) or { speedup: TIMES } (at least 1).`,
  );
}
