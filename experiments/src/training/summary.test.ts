import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import type { Point } from "./point.ts";
import { meanPoints, paretoFront, scoreAt } from "./summary.ts";

const point = (groups: number, score: number, strength = groups): Point => ({
  strength,
  score,
  groups,
  parameters: 10 * groups,
  macs: 100 * groups,
  speedup: 1,
});
const byGroups = ({ groups }: Point): number => groups;

describe("scoreAt", () => {
  const points = [point(40, 0.9), point(10, 0.5), point(20, 0.4)];

  test("is the score of a point at its size, and lies on a line over log(size) between two", () => {
    expect(scoreAt(points, byGroups, 10, 1)).toBe(0.5);
    expect(scoreAt(points, byGroups, 40, 1)).toBe(0.9);
    expect(scoreAt(points, byGroups, 20, 1)).toBeCloseTo(0.7, 12);
  });

  test("ends at the smallest point and a little past the largest, and is not there in a wide gap", () => {
    expect(scoreAt(points, byGroups, 9.9, 1)).toBeUndefined();
    expect(scoreAt(points, byGroups, 48, 1)).toBe(0.9);
    expect(scoreAt(points, byGroups, 48.1, 1)).toBeUndefined();
    const apart = [point(10, 0.5), point(51, 0.9)];
    expect([10, 12, 13, 50, 51].map((size) => scoreAt(apart, byGroups, size, 1))).toEqual([
      0.5,
      0.5,
      undefined,
      undefined,
      0.9,
    ]);
    expect(scoreAt([], byGroups, 5, 1)).toBeUndefined();
  });

  test("where it is, it never falls, and is at least that of the best point that fits", () => {
    const some = fc.array(
      fc.tuple(fc.integer({ min: 1, max: 50 }), fc.double({ min: 0, max: 1, noNaN: true })),
      {
        minLength: 1,
        maxLength: 8,
      },
    );
    fc.assert(
      fc.property(some, fc.constantFrom(1 as const, -1 as const), (drawn, sign) => {
        const own = drawn.map(([groups, score]) => point(groups, score));
        const sizes = own.map(byGroups);
        let before = -Infinity;
        for (let size = 1; size <= 60; size++) {
          const score = scoreAt(own, byGroups, size, sign);
          const below = Math.max(...sizes.filter((each) => each <= size));
          const next = Math.min(...sizes.filter((each) => each > size));
          const there = size <= 1.2 * below || next <= 5 * below;
          expect(score !== undefined).toBe(there);
          if (score === undefined) continue;
          const fitting = own.filter(({ groups }) => groups <= size).map((each) => sign * each.score);
          expect(sign * score).toBeGreaterThanOrEqual(Math.max(...fitting) - 1e-12);
          expect(sign * score).toBeGreaterThanOrEqual(before - 1e-12);
          before = sign * score;
        }
      }),
    );
  });
});

test("means are over the points of a strength, with the worst and the best", () => {
  const [first, second, ...rest] = meanPoints([point(10, 0.5, 1), point(20, 0.7, 1), point(5, 0.3, 2)]);
  expect(first).toMatchObject({ strength: 1, groups: 15, low: 0.5, high: 0.7, runs: 2 });
  expect(first!.score).toBeCloseTo(0.6, 12);
  expect(second).toMatchObject({ strength: 2, groups: 5, score: 0.3, runs: 1 });
  expect(rest).toEqual([]);
});

test("a Pareto front has the points that no other one beats", () => {
  const some = fc.array(fc.tuple(fc.nat(9), fc.nat(9)), { maxLength: 12 });
  fc.assert(
    fc.property(some, fc.constantFrom(1 as const, -1 as const), (drawn, sign) => {
      const points = drawn.map(([groups, score]) => point(groups, score));
      const beats = (a: Point, b: Point): boolean =>
        a.groups <= b.groups &&
        sign * (a.score - b.score) >= 0 &&
        (a.groups < b.groups || a.score !== b.score);
      const expected = new Set(
        points
          .filter((each) => !points.some((other) => beats(other, each)))
          .map((p) => `${p.groups} ${p.score}`),
      );
      const front = paretoFront(points, byGroups, sign).map((p) => `${p.groups} ${p.score}`);
      expect(new Set(front)).toEqual(expected);
      expect(front).toHaveLength(expected.size);
    }),
  );
});
