import { checkNumber } from "../check.ts";
import { DgateError } from "../errors.ts";

/** λ over training: takes the progress in [0, 1] (steps done / steps in all) and gives λ ≥ 0. */
export type LambdaSchedule = (progress: number) => number;

/** λ all the way. */
export function constantLambda(lambda: number): LambdaSchedule {
  checkNumber("constantLambda", "lambda", lambda, 0);
  return () => lambda;
}

/** From `from` (default 0) in a straight line to `lambda` over the first `warmup` (default 0.1) of training, then constant. */
export function linearWarmup(
  lambda: number,
  { warmup = 0.1, from = 0 }: { readonly warmup?: number; readonly from?: number } = {},
): LambdaSchedule {
  checkNumber("linearWarmup", "warmup", warmup, 0, 1);
  return lambdaPath([
    [0, warmup ? from : lambda],
    [warmup, lambda],
  ]);
}

/**
 * From 0 in a straight line to `lambda` over the first `warmup` (default 0.3) of training, held, and in a straight line back to 0 over the last
 * `decay` (default 0.3): at first the penalty would pull harder than a loss whose gradient has all factors as factors, and what is left at the end
 * recovers from shrinkage. Together they take at most all of it. Groups that are dead stay so: with all factors at zero, so is every gradient.
 */
export function warmupStableDecay(
  lambda: number,
  { warmup = 0.3, decay = 0.3 }: { readonly warmup?: number; readonly decay?: number } = {},
): LambdaSchedule {
  checkNumber("warmupStableDecay", "warmup + decay", warmup + decay, 0, 1);
  return lambdaPath([
    [0, warmup ? 0 : lambda],
    [warmup, lambda],
    // Rounding may put it a little before.
    [Math.max(warmup, 1 - decay), lambda],
    [1, decay ? 0 : lambda],
  ]);
}

/** Half a cosine: `from + (to − from) · (1 − cos(π·progress)) / 2`. */
export function cosineLambda({ from, to }: { readonly from: number; readonly to: number }): LambdaSchedule {
  checkNumber("cosineLambda", "from", from, 0);
  checkNumber("cosineLambda", "to", to, 0);
  return (progress) => from + ((to - from) * (1 - Math.cos(Math.PI * clamp(progress)))) / 2;
}

/** How λ goes from one point of a path to the next: in a straight line, by a constant factor, or at once. */
export type PathInterpolation = "linear" | "geometric" | "step";

/**
 * λ through given points `[progress, λ]`, progress ascending; constant before the first and after the last. A
 * regularisation path is `lambdaPath([[0, 1e-4], [0.5, 1e-3], [1, 1e-2]], "step")`.
 */
export function lambdaPath(
  points: readonly (readonly [progress: number, lambda: number])[],
  interpolation: PathInterpolation = "linear",
): LambdaSchedule {
  checkPoints(points, interpolation);
  return (progress) => {
    const at = clamp(progress);
    const next = points.findIndex(([start]) => start > at);
    const [start, from] = points.at(next === -1 ? -1 : Math.max(0, next - 1))!;
    const [end, to] = points[next] ?? [Infinity, from];
    if (interpolation === "step" || at <= start) return from;
    const share = (at - start) / (end - start);
    return interpolation === "linear" ? from + (to - from) * share : from * (to / from) ** share;
  };
}

function checkPoints(
  points: readonly (readonly [progress: number, lambda: number])[],
  interpolation: PathInterpolation,
): void {
  if (points.length === 0) throw new DgateError("OPTION", "lambdaPath: no points, expected at least one.");
  points.forEach(([progress, lambda], i) => {
    checkNumber("lambdaPath", `progress of point ${i}`, progress, points[i - 1]?.[0] ?? 0, 1);
    checkNumber(
      "lambdaPath",
      `lambda of point ${i}`,
      lambda,
      interpolation === "geometric" ? Number.MIN_VALUE : 0,
    );
  });
}

function clamp(progress: number): number {
  checkNumber("λ schedule", "progress", progress, -Number.MAX_VALUE);
  return Math.min(1, Math.max(0, progress));
}
