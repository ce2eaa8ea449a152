import { DgateError } from "@dgate/core";
import type { KeptGroups, Scores } from "../prune/choose-groups.ts";
import type { ResolvedTarget } from "./target.ts";

/** Halvings of the interval of fractions: to 1 % of the multiply–adds. */
const halvings = 6;

/**
 * The largest fraction of multiply–adds at which the pruned model is as much faster as asked for, found by halving: at every step a model
 * of that size is cut and timed beside the dense one. Which groups go hardly matters for that; their number does.
 *
 * @param measure times a model of which these groups stay: how many times faster it is than the dense one
 * @throws DgateError `OPTION` saying the closest if no model is as fast
 */
export async function fractionForSpeedup(
  target: ResolvedTarget,
  scores: Scores,
  speedup: number,
  measure: (kept: KeptGroups) => Promise<number>,
): Promise<number> {
  let slow = 1;
  let fast = target.least(scores);
  const best = await measure(target.choose(scores, fast));
  if (best < speedup) {
    throw new DgateError(
      "OPTION",
      `learn: the target of ${speedup} times faster cannot be reached: with ${(100 * fast).toFixed(1)} % of the multiply–adds, the least that can stay, ` +
        `the model is ${best.toFixed(2)} times faster here. Ask for that, or open with sites: ["heads", "ffn", "layers"].`,
    );
  }
  for (let i = 0; i < halvings; i++) {
    const middle = (slow + fast) / 2;
    if ((await measure(target.choose(scores, middle))) >= speedup) fast = middle;
    else slow = middle;
  }
  return fast;
}
