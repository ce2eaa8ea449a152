import { randomGenerator } from "@dgate/core";

/** Options of `gradientError`. */
export interface GradientCheckOptions {
  readonly seed?: number;
  /** Number of random directions (default 4). */
  readonly directions?: number;
  /** Step of the central difference (default 1e-5, for float64). */
  readonly step?: number;
}

/**
 * How far a gradient is from central differences of its function along random unit directions u:
 * `max_u |(f(x + hu) − f(x − hu)) / 2h − ⟨∇f, u⟩| / max(1, ‖∇f‖)`.
 *
 * @param f function of several float64 arrays
 * @param point where, one array per argument
 * @param gradient ∇f at `point`, one array per argument
 * @returns the largest relative error; about 1e-9 for a right gradient
 */
export function gradientError(
  f: (point: readonly Float64Array[]) => number,
  point: readonly Float64Array[],
  gradient: readonly ArrayLike<number>[],
  { seed = 1, directions = 4, step = 1e-5 }: GradientCheckOptions = {},
): number {
  const random = randomGenerator(seed);
  const norm = Math.sqrt(gradient.reduce((sum, g) => sum + dot(g, g), 0));
  const errors = Array.from({ length: directions }, () => {
    const raw = point.map((x) => Float64Array.from(x, () => random.normal()));
    const length = Math.sqrt(raw.reduce((sum, u) => sum + dot(u, u), 0));
    const moved = (h: number): Float64Array[] =>
      point.map((x, k) => x.map((value, i) => value + (h * raw[k]![i]!) / length));
    const measured = (f(moved(step)) - f(moved(-step))) / (2 * step);
    const claimed = gradient.reduce((sum, g, k) => sum + dot(g, raw[k]!), 0) / length;
    return Math.abs(measured - claimed) / Math.max(1, norm);
  });
  // Math.max would pass NaN on; a NaN gradient must fail any comparison.
  return Math.max(...errors);
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  return Array.from(a).reduce((sum, value, i) => sum + value * b[i]!, 0);
}
