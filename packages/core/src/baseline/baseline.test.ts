import { fc, gatedSets } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { arrayOps } from "../arrays/array-ops.ts";
import { type NdArray, ndArray } from "../arrays/nd-array.ts";
import { squaredGroupNorms } from "../gating/factors.ts";
import { defineGroups } from "../groups/group-set.ts";
import { type ProximalDepth, proximalNorm, proximalStep } from "./proximal.ts";
import { directSubgradient } from "./subgradient.ts";

const ops = arrayOps("float64");
const depths: readonly ProximalDepth[] = [2, 3, 4];

function objective(x: number, r: number, t: number, depth: number): number {
  return 0.5 * (x - r) ** 2 + t * x ** (2 / depth);
}

/** Least value of the objective on a fine grid over [0, r], refined around the best point. */
function bruteForce(r: number, t: number, depth: number): number {
  let best = 0;
  let low = 0;
  let high = r;
  for (let level = 0; level < 4; level += 1) {
    const width = (high - low) / 400;
    for (let k = 0; k <= 400; k += 1) {
      const x = low + k * width;
      if (objective(x, r, t, depth) < objective(best, r, t, depth)) best = x;
    }
    low = Math.max(0, best - width);
    high = Math.min(r, best + width);
  }
  return best;
}

describe("proximal operators", () => {
  test.each(depths)("no point of a fine grid is better than the closed form, D = %i", (depth) => {
    const numbers = fc.double({ min: 1e-3, max: 10, noNaN: true });
    fc.assert(
      fc.property(numbers, numbers, (r, t) => {
        const x = proximalNorm(r, t, depth);
        const grid = bruteForce(r, t, depth);
        const best = objective(grid, r, t, depth);
        expect(objective(x, r, t, depth)).toBeLessThanOrEqual(best + 1e-12 * (1 + best));
        // Where one minimum is clearly the best, the two places are the same.
        const clear = Math.abs(objective(0, r, t, depth) - best) > 1e-6 || x === 0;
        expect(clear ? Math.abs(x - grid) : 0).toBeLessThan(1e-4 * (1 + r));
      }),
      { numRuns: 300 },
    );
  });

  test.each<[ProximalDepth, number]>([
    [2, 1],
    [3, 2 * (2 / 3) ** 0.75],
    [4, 1.5],
  ])("jumps at the threshold of t = 1, D = %i", (depth, threshold) => {
    expect(proximalNorm(threshold * (1 - 1e-9), 1, depth)).toBe(0);
    const above = proximalNorm(threshold * (1 + 1e-9), 1, depth);
    expect(above).toBeGreaterThan(0);
    // Continuous for D = 2; the jump is (2/3)^{3/4} for D = 3 and 1 for D = 4.
    const jump = { 2: 0, 3: (2 / 3) ** 0.75, 4: 1 }[depth];
    expect(above).toBeCloseTo(jump, 6);
  });

  test("is exact in the limits of no and of tiny penalty", () => {
    for (const depth of depths) {
      expect(proximalNorm(3, 0, depth)).toBe(3);
      expect(proximalNorm(0, 2, depth)).toBe(0);
      expect(proximalNorm(1e6, 1e-9, depth)).toBeCloseTo(1e6, 6);
    }
  });

  test("a step shrinks every group along its own direction", () => {
    fc.assert(
      fc.property(gatedSets(), fc.constantFrom(...depths), ({ set, factors, lambda }, depth) => {
        const before = squaredGroupNorms(ops, set, factors.primary).data.map(Math.sqrt);
        const next = proximalStep(set, factors.primary, lambda, depth);
        const after = squaredGroupNorms(ops, set, next).data.map(Math.sqrt);
        const want = [...before].map((r, j) => proximalNorm(r, lambda * set.weights[j]!, depth));
        expect(after).toBeAllClose(want);
        // Cauchy–Schwarz with equality: ‖w + w'‖ = ‖w‖ + ‖w'‖.
        const sum = next.map((x, m) => ops.add(x, factors.primary[m]!));
        expect(squaredGroupNorms(ops, set, sum).data.map(Math.sqrt)).toBeAllClose(
          want.map((x, j) => x + before[j]!),
        );
      }),
    );
  });

  test("a zero group stays zero and ungated elements stay as they are", () => {
    const layout = { kind: "assignment", groups: 2, assignment: [0, 0, 1, -1] } as const;
    const set = defineGroups([{ name: "w", shape: [4], layout }]);
    const [next] = proximalStep(set, [ndArray(Float64Array.of(0, 0, 3, 7), [4])], 1, 2) as [NdArray];
    expect([...next.data]).toEqual([0, 0, 2, 7]);
  });

  test("refuses depths without a closed form and numbers out of range", () => {
    expect(() => proximalNorm(1, 1, 5 as ProximalDepth)).toThrow("depth is 5");
    expect(() => proximalNorm(-1, 1, 2)).toThrow("r is -1");
    expect(() => proximalNorm(1, Number.NaN, 2)).toThrow("t is NaN");
  });
});

describe("direct sub-gradient", () => {
  test("is the unit direction of each group for the group lasso, and 0 at a zero group", () => {
    const layout = { kind: "assignment", groups: 2, assignment: [0, 0, 1, 1, -1] } as const;
    const set = defineGroups([{ name: "w", shape: [5], layout }], { weights: [2, 5] });
    const [slope] = directSubgradient(ops, set, [ops.constant([3, 4, 0, 0, 9], [5])], 0.5, 1) as [NdArray];
    expect(slope).toBeAllClose([0.6, 0.8, 0, 0, 0]);
  });

  test.each([0, 1.5, Number.NaN])("refuses exponent %f", (exponent) => {
    const set = defineGroups([{ name: "w", shape: [1], layout: { kind: "tensor" } }]);
    expect(() => directSubgradient(ops, set, [ops.constant([1], [1])], 1, exponent)).toThrow(
      `exponent is ${exponent}`,
    );
  });
});
