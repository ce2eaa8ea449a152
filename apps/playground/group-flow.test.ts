import { fc, tolerances } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import {
  advance,
  type FlowRecord,
  lassoThreshold,
  loss,
  lossGradient,
  type Point,
  type Pull,
  record,
  smoothObjective,
  sparseObjective,
  startAt,
} from "./group-flow.ts";

const coordinate = fc.double({ min: -2, max: 2, noNaN: true });
const pulls = fc.record({
  depth: fc.integer({ min: 2, max: 5 }),
  lambda: fc.double({ min: 0.02, max: 2, noNaN: true }),
  target: fc.tuple(coordinate, coordinate),
});
const starts = fc.record({
  weights: fc.tuple(coordinate, coordinate).filter(([x, y]) => Math.hypot(x, y) > 0.2),
  gate: fc.double({ min: 0.5, max: 1.5, noNaN: true }),
});

function follow(weights: Point, gate: number, pull: Pull, steps: number, dt = 0.01): FlowRecord[] {
  let state = startAt(weights, gate, pull.depth);
  const records = [record(state, pull)];
  for (let i = 0; i < steps; i++) {
    state = advance(state, pull, dt);
    records.push(record(state, pull));
  }
  return records;
}

describe("the flow of the playground", () => {
  test("the loss and its gradient belong together", () => {
    fc.assert(
      fc.property(fc.tuple(coordinate, coordinate), fc.tuple(coordinate, coordinate), ([x, y], target) => {
        const h = 1e-5;
        const [gx, gy] = lossGradient([x, y], target);
        expect((loss([x + h, y], target) - loss([x - h, y], target)) / (2 * h)).toBeCloseTo(gx, 6);
        expect((loss([x, y + h], target) - loss([x, y - h], target)) / (2 * h)).toBeCloseTo(gy, 6);
      }),
    );
  });

  test("the imbalance decays as exp(−4λt/D)", () => {
    fc.assert(
      fc.property(pulls, starts, (pull, { weights, gate }) => {
        const records = follow(weights, gate, pull, 40, 0.02);
        const [first, last] = [records[0]!, records.at(-1)!];
        const expected = first.imbalance * Math.exp((-4 * pull.lambda * last.time) / pull.depth);
        expect(Math.abs(last.imbalance - expected)).toBeLessThan(1e-6 * (1 + first.imbalance));
      }),
      { numRuns: 30 },
    );
  });

  test("the smooth objective falls, is never below the sparse one, and their difference is the gap", () => {
    fc.assert(
      fc.property(pulls, starts, (pull, { weights, gate }) => {
        const records = follow(weights, gate, pull, 40, 0.02);
        for (const each of records) expect(each.smooth - each.sparse).toBeCloseTo(each.gap, 9);
        const rises = records.slice(1).map((each, i) => each.smooth - records[i]!.smooth);
        expect(Math.max(...rises)).toBeLessThan(1e-12);
      }),
      { numRuns: 30 },
    );
  });

  test("what is drawn in the planes is what the path has", () => {
    fc.assert(
      fc.property(pulls, starts, (pull, { weights, gate }) => {
        const at = record(startAt(weights, gate, pull.depth), pull);
        expect(at.weights).toBeAllClose(weights, tolerances.float64);
        expect(sparseObjective(at.weights, pull)).toBeCloseTo(at.sparse, 9);
        expect(smoothObjective(at.primaryNorm, at.gate, at.direction, pull)).toBeCloseTo(at.smooth, 9);
      }),
    );
  });

  test("with D = 2 the group dies exactly where the group lasso says so", () => {
    const target: Point = [1.2, -0.4];
    const least = lassoThreshold(target);
    const end = (lambda: number): number =>
      follow([1, 1], 1, { depth: 2, lambda, target }, 2000, 0.03).at(-1)!.norm;
    expect(end(1.1 * least)).toBeLessThan(1e-4);
    expect(end(0.9 * least)).toBeGreaterThan(0.02);
  });
});
