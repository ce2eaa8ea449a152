import { randomGenerator } from "@dgate/core";
import type { GatedBlock } from "../blocks/block.ts";
import type { Scores } from "../prune/choose-groups.ts";

/** Uniform numbers from 0 to 1, independent over groups and blocks: the same for the same seed and blocks. */
export function randomScores(blocks: readonly Pick<GatedBlock, "name" | "groups">[], seed: number): Scores {
  const random = randomGenerator(seed);
  return new Map(
    blocks.map(({ name, groups }) => [name, Float64Array.from({ length: groups }, () => random.next())]),
  );
}
