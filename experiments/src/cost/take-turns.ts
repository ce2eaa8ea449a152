/** How long competitors take turns. */
export interface TurnOptions {
  /** Rounds that do not count. */
  readonly warmUp: number;
  readonly atLeast: number;
  readonly atMost: number;
  /** After which no more rounds are begun than must be, milliseconds. */
  readonly forMs: number;
}

/**
 * Milliseconds of each competitor in each round. All see the same machine; every other round goes backwards, so that none always comes after the same
 * one.
 */
export async function takeTurns(
  competitors: readonly (() => Promise<unknown>)[],
  { warmUp, atLeast, atMost, forMs }: TurnOptions,
): Promise<number[][]> {
  const times = competitors.map((): number[] => []);
  const order = [...competitors.entries()];
  let start = performance.now();
  for (let round = -warmUp; round < atMost; round++) {
    if (round === 0) start = performance.now();
    if (round >= atLeast && performance.now() - start > forMs) break;
    for (const [i, run] of order) {
      const before = performance.now();
      await run();
      if (round >= 0) times[i]!.push(performance.now() - before);
    }
    order.reverse();
  }
  return times;
}

/** Lower quartile, median and upper quartile. */
export type Quartiles = readonly [number, number, number];

export function quartiles(values: readonly number[]): Quartiles {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (part: number): number => {
    const place = part * (sorted.length - 1);
    const [low, high] = [sorted[Math.floor(place)]!, sorted[Math.ceil(place)]!];
    return low + (high - low) * (place % 1);
  };
  return [at(0.25), at(0.5), at(0.75)];
}

/** What one takes of another's time: quartiles over the rounds, for neighbouring turns see the same machine. */
export const pairedRatio = (times: readonly number[], others: readonly number[]): Quartiles =>
  quartiles(times.map((ms, round) => ms / others[round]!));
