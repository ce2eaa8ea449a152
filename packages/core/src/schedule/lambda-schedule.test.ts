import { fc, tolerances } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import {
  constantLambda,
  cosineLambda,
  type LambdaSchedule,
  lambdaPath,
  linearWarmup,
  type PathInterpolation,
  warmupStableDecay,
} from "./lambda-schedule.ts";

function along(schedule: LambdaSchedule, ...progress: number[]): number[] {
  return progress.map(schedule);
}

describe("λ schedules", () => {
  test("constant", () => {
    expect(along(constantLambda(2e-3), 0, 0.3, 1)).toEqual([2e-3, 2e-3, 2e-3]);
  });

  test("linear warm-up rises in a straight line and stays", () => {
    expect(along(linearWarmup(4, { warmup: 0.5 }), 0, 0.25, 0.5, 0.75, 1)).toEqual([0, 2, 4, 4, 4]);
    expect(along(linearWarmup(4, { warmup: 1, from: 2 }), 0, 0.5, 1)).toEqual([2, 3, 4]);
    expect(along(linearWarmup(4, { warmup: 0 }), 0, 1)).toEqual([4, 4]);
  });

  test("up, held and down", () => {
    const at = [0, 0.125, 0.25, 0.5, 0.75, 0.875, 1];
    const expected = (warmup: number, decay: number): number[] =>
      along(warmupStableDecay(4, { warmup, decay }), ...at);
    expect(expected(0.25, 0.25)).toEqual([0, 2, 4, 4, 4, 2, 0]);
    expect(expected(0, 0.25)).toEqual([4, 4, 4, 4, 4, 2, 0]);
    expect(expected(0.25, 0)).toEqual([0, 2, 4, 4, 4, 4, 4]);
    expect(expected(0.5, 0.5)).toEqual([0, 1, 2, 4, 2, 1, 0]);
    expect(expected(0, 0)).toEqual([4, 4, 4, 4, 4, 4, 4]);
    expect(along(warmupStableDecay(4), 0.15, 0.3, 0.7, 0.85)).toBeAllClose([2, 4, 4, 2], tolerances.float64);
  });

  test("half a cosine", () => {
    expect(along(cosineLambda({ from: 0, to: 8 }), 0, 1 / 3, 0.5, 1)).toBeAllClose(
      [0, 2, 4, 8],
      tolerances.float64,
    );
    expect(along(cosineLambda({ from: 8, to: 0 }), 0, 1)).toEqual([8, 0]);
  });

  test("a path, linear, geometric and in steps", () => {
    const points = [
      [0.2, 1],
      [0.4, 4],
      [0.8, 16],
    ] as const;
    const at = [0, 0.2, 0.3, 0.4, 0.6, 0.8, 1];
    expect(along(lambdaPath(points), ...at)).toBeAllClose([1, 1, 2.5, 4, 10, 16, 16], tolerances.float64);
    expect(along(lambdaPath(points, "geometric"), ...at)).toBeAllClose(
      [1, 1, 2, 4, 8, 16, 16],
      tolerances.float64,
    );
    expect(along(lambdaPath(points, "step"), ...at)).toEqual([1, 1, 1, 4, 4, 16, 16]);
  });

  test("two points at one progress jump", () => {
    const jump = lambdaPath([
      [0, 1],
      [0.5, 1],
      [0.5, 3],
      [1, 3],
    ]);
    expect(along(jump, 0, 0.49, 0.5, 1)).toEqual([1, 1, 3, 3]);
  });

  test("phases that fill training exactly are taken whatever rounding does", () => {
    const part = fc.double({ min: 0, max: 1, noNaN: true });
    fc.assert(
      fc.property(part, part, (warmup, progress) => {
        const lambda = warmupStableDecay(2, { warmup, decay: 1 - warmup })(progress);
        expect(lambda >= 0 && lambda <= 2).toBe(true);
      }),
    );
  });

  test("every schedule stays between its least and its largest λ, also outside [0, 1]", () => {
    const lambdas = fc.double({ min: 1e-6, max: 10, noNaN: true });
    const kinds = fc.constantFrom<PathInterpolation>("linear", "geometric", "step");
    const points = fc
      .array(fc.tuple(fc.double({ min: 0, max: 1, noNaN: true }), lambdas), { minLength: 1, maxLength: 5 })
      .map((all) => all.sort((a, b) => a[0] - b[0]));
    fc.assert(
      fc.property(points, kinds, fc.double({ min: -1, max: 2, noNaN: true }), (path, kind, progress) => {
        const values = path.map(([, lambda]) => lambda);
        const lambda = lambdaPath(path, kind)(progress);
        expect(lambda).toBeGreaterThanOrEqual(Math.min(...values) * (1 - 1e-12));
        expect(lambda).toBeLessThanOrEqual(Math.max(...values) * (1 + 1e-12));
      }),
    );
  });

  test("a progress that is no number is refused, not turned into a λ", () => {
    for (const schedule of [cosineLambda({ from: 0, to: 1 }), linearWarmup(1)]) {
      expect(() => schedule(Number.NaN)).toThrow("progress is NaN");
    }
  });

  test.each<[string, () => LambdaSchedule, RegExp]>([
    ["a negative λ", () => constantLambda(-1), /lambda is -1/],
    ["λ that is no number", () => linearWarmup(Number.NaN), /NaN/],
    ["a warm-up longer than training", () => linearWarmup(1, { warmup: 2 }), /warmup is 2/],
    [
      "phases longer than training",
      () => warmupStableDecay(1, { warmup: 0.6, decay: 0.6 }),
      /warmup \+ decay is 1.2/,
    ],
    ["a negative decay", () => warmupStableDecay(1, { decay: -0.1 }), /progress of point 2 is 1.1/],
    ["an infinite end", () => cosineLambda({ from: 0, to: Infinity }), /to is Infinity/],
    ["no points", () => lambdaPath([]), /no points/],
    [
      "points out of order",
      () =>
        lambdaPath([
          [0.5, 1],
          [0.4, 1],
        ]),
      /progress of point 1 is 0.4, .* from 0.5 to 1/,
    ],
    [
      "a geometric path through 0",
      () =>
        lambdaPath(
          [
            [0, 0],
            [1, 1],
          ],
          "geometric",
        ),
      /lambda of point 0 is 0/,
    ],
  ])("refuses %s", (_, make, message) => {
    expect(make).toThrow(message);
  });
});
