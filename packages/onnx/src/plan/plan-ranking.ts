import type { PlanCriterion, PlanOptions } from "./plan-options.ts";
import { scopeOf } from "./plan-options.ts";
import { normalised, type Scores } from "./plan-scores.ts";
import { keptCount, type Stream } from "./plan-streams.ts";

/** A stream with the order in which its groups go. */
export interface RankedStream {
  readonly stream: Stream;
  /** Groups from the weakest to the strongest. */
  readonly order: readonly number[];
  /** Comparable across streams, by group. */
  readonly scores: Scores;
}

/** Orders the groups of each stream; of equal scores the later group goes first. */
export function rank(
  streams: readonly Stream[],
  scores: readonly Scores[],
  options: PlanOptions,
): RankedStream[] {
  const criterion: PlanCriterion = options.criterion ?? "l2";
  return streams.map((stream, i) => {
    const own = scores[i]!;
    const order = Array.from(own, (_, group) => group).sort((a, b) => own[a]! - own[b]! || b - a);
    const comparable =
      scopeOf(options) === "global" ? normalised(stream, own, options.normalise ?? "mean", criterion) : own;
    return { stream, order, scores: comparable };
  });
}

/** How many groups of each stream go at each step of a ranking over all streams. */
export class Ranking {
  readonly #streams: readonly RankedStream[];
  /** The stream that loses a group at each step. */
  readonly #steps: readonly number[];

  /** `global` ranks by score; `site` takes the same fraction of each stream. */
  constructor(streams: readonly RankedStream[], scope: "site" | "global") {
    this.#streams = streams;
    const steps = streams.flatMap(({ order, scores }, stream) =>
      order.map((group, at) => ({
        stream,
        at,
        key: scope === "global" ? scores[group]! : (at + 1) / order.length,
      })),
    );
    steps.sort((a, b) => a.key - b.key || a.stream - b.stream || a.at - b.at);
    this.#steps = steps.map(({ stream }) => stream);
  }

  get length(): number {
    return this.#steps.length;
  }

  /** Groups that go by stream after `steps` steps, within the bounds and steps of each stream; grows with `steps`. */
  removedAfter(steps: number): number[] {
    const gone = this.#streams.map(() => 0);
    for (let i = 0; i < steps; i++) gone[this.#steps[i]!]! += 1;
    return this.#streams.map(({ stream, order }, i) => {
      const fixed = stream.groups - order.length;
      const bounded = { ...stream, least: Math.max(stream.least, fixed) };
      return stream.groups - keptCount(bounded, stream.groups - gone[i]!);
    });
  }

  /** The groups that go by stream, given how many. */
  groups(counts: readonly number[]): number[][] {
    return this.#streams.map(({ order }, i) => order.slice(0, counts[i]));
  }

  /** The fewest steps after which `holds`, which stays true once it is; `undefined` if it never is. */
  first(holds: (counts: readonly number[]) => boolean): number | undefined {
    let [low, high] = [0, this.length];
    if (!holds(this.removedAfter(high))) return undefined;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (holds(this.removedAfter(middle))) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}
