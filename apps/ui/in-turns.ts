/** How long runs in turns go on. */
export interface TurnOptions {
  readonly budgetMs: number;
  readonly fewest: number;
  readonly most: number;
  /** Is awaited between two rounds; what it throws ends them. */
  readonly step?: (part: number) => Promise<void>;
}

/** Least time between two moments that are told. */
const tellMs = 50;

/**
 * Times runs that take turns, so that a slow moment of the machine strikes all alike.
 *
 * @returns milliseconds of each run, round by round
 */
export async function inTurns(
  runs: readonly (() => Promise<unknown>)[],
  { budgetMs, fewest, most, step }: TurnOptions,
): Promise<readonly (readonly number[])[]> {
  const times = runs.map((): number[] => []);
  // The first runs compile shaders and fill caches.
  for (const run of runs) await run();
  const started = performance.now();
  let told = started;
  for (let round = 0; round < most; round++) {
    // What runs first after a pause finds colder caches: who that is changes.
    const order = [...runs.keys()];
    for (const i of round % 2 === 0 ? order : order.reverse()) {
      const before = performance.now();
      await runs[i]!();
      times[i]!.push(performance.now() - before);
    }
    const spent = performance.now() - started;
    if (step && performance.now() - told > tellMs) {
      await step(Math.min(1, Math.max(spent / budgetMs, (round + 1) / most)));
      told = performance.now();
    }
    if (spent > budgetMs && round + 1 >= fewest) break;
  }
  return times;
}

/** The value below which a part of some times lies. */
export function quantile(times: readonly number[], part: number): number {
  const sorted = times.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(part * sorted.length))]!;
}

export const median = (times: readonly number[]): number => quantile(times, 0.5);
