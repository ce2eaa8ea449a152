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
  const points = [point(100, 0.9), point(10, 0.5), point(50, 0.4)];

  test("is the score of a point at its size, and lies on a line over log(size) between two", () => {
    expect(scoreAt(points, byGroups, 10, 1)).toBe(0.5);
    expect(scoreAt(points, byGroups, 100, 1)).toBe(0.9);
    expect(scoreAt(points, byGroups, Math.sqrt(1000), 1)).toBeCloseTo(0.7, 12);
  });

  test("ends at the smallest point, and stays at the best one above the largest", () => {
    expect(scoreAt(points, byGroups, 9.9, 1)).toBeUndefined();
    expect(scoreAt(points, byGroups, 1000, 1)).toBe(0.9);
    expect(scoreAt([], byGroups, 5, 1)).toBeUndefined();
  });

  test("is there from the smallest point on, never falls, and is at least that of the best point that fits", () => {
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
        const scores = Array.from({ length: 50 }, (_, i) => scoreAt(own, byGroups, i + 1, sign));
        const smallest = Math.min(...own.map(({ groups }) => groups));
        expect(scores.map((score) => score !== undefined)).toEqual(scores.map((_, i) => i + 1 >= smallest));
        const reached = scores.slice(smallest - 1).map((score) => sign * score!);
        expect(reached.every((score, i) => i === 0 || score >= reached[i - 1]! - 1e-12)).toBe(true);
        const best = reached.map((_, i) =>
          Math.max(...own.filter(({ groups }) => groups <= smallest + i).map(({ score }) => sign * score)),
        );
        expect(reached.every((score, i) => score >= best[i]! - 1e-12)).toBe(true);
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
