import type { GatedBlock } from "../blocks/block.ts";
import type { KeptGroups, Scores } from "../prune/choose-groups.ts";

/** Bounds of what may go: see `PruneOptions`. */
interface Bounds {
  readonly even: boolean;
  readonly minimum: number;
}

/**
 * The groups that are alive, and of each block as many of the strongest others as the bounds ask for: at least `minimum` heads or neurons, and with
 * `even` as many heads as the layer has that keeps most.
 *
 * @param above score that a group is alive from
 */
export function aliveGroups(
  blocks: readonly GatedBlock[],
  scores: Scores,
  above: number,
  { even, minimum }: Bounds,
): KeptGroups {
  const counts = blocks.map((block) => {
    const alive = scores.get(block.name)!.filter((score) => score > above).length;
    return block.group === "layers" ? alive : Math.max(alive, minimum);
  });
  const most = Math.max(0, ...counts.filter((_, at) => blocks[at]!.group === "heads"));
  return new Map(
    blocks.map(({ name, group }, at) => {
      const own = scores.get(name)!;
      const ranked = [...own.keys()].sort((a, b) => own[b]! - own[a]! || a - b);
      const count = even && group === "heads" ? most : counts[at]!;
      return [name, ranked.slice(0, count).sort((a, b) => a - b)];
    }),
  );
}
