import { mean } from "../report/figures.ts";
import type { Point } from "./point.ts";

/** Where a method stands at a size, seed by seed. */
export type SizeOf = (point: Point) => number;

/** Two neighbours further apart than that are not joined: what lies between them was not measured. */
const widestGap = 5;

/** Past a point that is not joined to a larger one a method is taken to stay as good, so far and no further. */
const reach = 1.2;

/**
 * The score that a method reaches with no more than a size, between its points: the best ones up to each size, joined by lines over log(size). `undefined`
 * below its smallest point, well above its largest one, and between two that are far apart.
 *
 * @param sign 1 where more is better, −1 where less is
 */
export function scoreAt(
  points: readonly Point[],
  sizeOf: SizeOf,
  size: number,
  sign: 1 | -1,
): number | undefined {
  const sizes = points.map(sizeOf).sort((a, b) => a - b);
  const at = sizes.findLastIndex((each) => each <= size);
  if (at < 0) return undefined;
  const joined = (i: number): boolean => i + 1 < sizes.length && sizes[i + 1]! <= widestGap * sizes[i]!;
  if (!joined(at) && size > reach * sizes[at]!) return undefined;
  const front = paretoFront(points, sizeOf, sign);
  const above = front.findIndex((each) => sizeOf(each) > size);
  const [a, b] = above < 0 ? [front.at(-1)!] : [front[above - 1]!, front[above]!];
  const between = b ? sizes.flatMap((each, i) => (each >= sizeOf(a) && each < sizeOf(b) ? [i] : [])) : [];
  if (!b || !between.every(joined)) return a.score;
  const part = Math.log(size / sizeOf(a)) / Math.log(sizeOf(b) / sizeOf(a));
  return a.score + part * (b.score - a.score);
}

/** A point of each strength: means over seeds, and how far the score goes. */
export interface MeanPoint extends Point {
  readonly low: number;
  readonly high: number;
  readonly runs: number;
}

/** Means over the points of equal strength. */
export function meanPoints(points: readonly Point[]): readonly MeanPoint[] {
  const strengths = [...new Set(points.map(({ strength }) => strength))];
  return strengths.map((strength): MeanPoint => {
    const own = points.filter((point) => point.strength === strength);
    const of = (value: (point: Point) => number): number => mean(own.map(value));
    const scores = own.map(({ score }) => score);
    return {
      strength,
      score: mean(scores),
      low: Math.min(...scores),
      high: Math.max(...scores),
      groups: of(({ groups }) => groups),
      parameters: of(({ parameters }) => parameters),
      macs: of(({ macs }) => macs),
      speedup: of(({ speedup }) => speedup),
      runs: own.length,
    };
  });
}

/** Points that no other one beats in both size and score, from small to large. */
export function paretoFront<P extends Point>(
  points: readonly P[],
  sizeOf: SizeOf,
  sign: 1 | -1,
): readonly P[] {
  const front: P[] = [];
  for (const point of points.toSorted((a, b) => sizeOf(a) - sizeOf(b) || sign * (b.score - a.score))) {
    const last = front.at(-1);
    if (!last || sign * (point.score - last.score) > 0) front.push(point);
  }
  return front;
}
