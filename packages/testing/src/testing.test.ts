import { describe, expect, test } from "vitest";
import { firstDifference } from "./all-close.ts";
import { dataFolder } from "./data-folder.ts";
import { gradientError } from "./gradient-check.ts";
import { solveGroupLasso } from "./group-lasso.ts";
import { groupOfElements } from "./reference-gating.ts";
import { regressionProblem } from "./regression.ts";
import { tolerances } from "./tolerance.ts";

describe("toBeAllClose", () => {
  test("passes numbers within the tolerance of their type and fails others", () => {
    expect([1, 2]).toBeAllClose([1, 2 + 1e-12]);
    expect([1, 2]).not.toBeAllClose([1, 2 + 1e-9]);
    expect([1, 2]).toBeAllClose([1, 2 + 1e-9], "float32");
    expect([1]).toBeAllClose([1.5], { absolute: 0.5, relative: 0 });
    expect({ data: Float32Array.of(3) }).toBeAllClose([3]);
  });

  test("fails NaN, missing numbers and infinities of another sign", () => {
    expect([Number.NaN]).not.toBeAllClose([Number.NaN]);
    expect([Number.NaN]).not.toBeAllClose([0], { absolute: Infinity, relative: 0 });
    expect([1]).not.toBeAllClose([1, 2]);
    expect([Infinity]).toBeAllClose([Infinity]);
    expect([Infinity]).not.toBeAllClose([-Infinity]);
  });

  test("says which number is off, and by how much", () => {
    expect(() => expect([1, 5]).toBeAllClose([1, 2])).toThrow(
      /number 1 is 5, expected 2 within .* \(difference 3\)/,
    );
    expect(firstDifference([1, 5], [1, 2], tolerances.float64)).toBe(1);
  });
});

/** Σ_i (i + 1) · x_i³ */
function cubes([x]: readonly Float64Array[]): number {
  return x!.reduce((sum, v, i) => sum + (i + 1) * v ** 3, 0);
}

describe("gradientError", () => {
  const point = [Float64Array.of(1, -2, 0.5)];
  const right = [Float64Array.of(3, 24, 2.25)];

  test("is tiny for a right gradient and large for a wrong one", () => {
    expect(gradientError(cubes, point, right)).toBeLessThan(1e-9);
    expect(gradientError(cubes, point, [Float64Array.of(3, 24, 2.35)])).toBeGreaterThan(1e-3);
    expect(gradientError(cubes, point, [Float64Array.of(3, -24, 2.25)])).toBeGreaterThan(0.1);
  });

  test("passes NaN on", () => {
    expect(gradientError(cubes, point, [Float64Array.of(3, Number.NaN, 2.25)])).toBeNaN();
  });
});

describe("solveGroupLasso", () => {
  test("with orthonormal columns it is the group soft threshold", () => {
    // X = √rows · I, so that X'X / rows = I and X'y / rows = y / √rows.
    const design = Float64Array.from({ length: 16 }, (_, i) => (i % 5 === 0 ? 2 : 0));
    const targets = Float64Array.of(6, 8, 0.6, 0.8);
    const { weights, support } = solveGroupLasso({
      design,
      targets,
      groups: [
        [0, 1],
        [2, 3],
      ],
      lambda: 1,
    });
    expect(weights).toBeAllClose([3 * 0.8, 4 * 0.8, 0, 0]);
    expect(support).toEqual([0]);
  });

  test("its solution meets the optimality conditions, group weights included", () => {
    const problem = regressionProblem({
      seed: 4,
      groups: 10,
      groupSize: 3,
      rows: 50,
      relevant: 4,
      noise: 0.5,
    });
    const weights = problem.groups.map((_, j) => 0.5 + 0.1 * j);
    const lambda = 0.4;
    const solution = solveGroupLasso({ ...problem, lambda, weights });
    expect(solution.support.length).toBeGreaterThan(1);
    expect(solution.support.length).toBeLessThan(10);
    const slope = problem.gradient(solution.weights);
    for (const [j, columns] of problem.groups.entries()) {
      const norm = Math.hypot(...columns.map((c) => solution.weights[c]!));
      const bound = lambda * weights[j]!;
      const active = columns.map((c) => slope[c]! + (bound * solution.weights[c]!) / norm);
      // Zero groups: ‖g_j‖ ≤ λ·s_j. Others: g_j = −λ·s_j·w_j/‖w_j‖.
      const excess =
        norm === 0 ? Math.hypot(...columns.map((c) => slope[c]!)) - bound : Math.hypot(...active);
      expect(excess).toBeLessThan(1e-12);
    }
  });

  test("the loss and the gradient of the problem belong together", () => {
    const problem = regressionProblem({
      seed: 4,
      groups: 3,
      groupSize: 2,
      rows: 20,
      relevant: 1,
      noise: 0.1,
    });
    const at = [Float64Array.of(1, -1, 0.5, 2, 0, 3)];
    expect(gradientError(([w]) => problem.loss(w!), at, [problem.gradient(at[0]!)])).toBeLessThan(1e-8);
  });
});

test("the group of an element, by hand", () => {
  expect(groupOfElements({ kind: "blocks", axis: 1, blockSize: 2 }, [2, 4])).toEqual([
    0, 0, 1, 1, 0, 0, 1, 1,
  ]);
  expect(groupOfElements({ kind: "axes", axes: [0, 2] }, [2, 2, 2])).toEqual([0, 1, 0, 1, 2, 3, 2, 3]);
});

describe("dataFolder", () => {
  test("is what DGATE_DATA names, or nothing", () => {
    const before = process.env["DGATE_DATA"];
    try {
      process.env["DGATE_DATA"] = import.meta.dirname;
      expect(dataFolder()).toBe(import.meta.dirname);
      process.env["DGATE_DATA"] = `${import.meta.dirname}/not-there`;
      expect(dataFolder()).toBeUndefined();
    } finally {
      if (before === undefined) delete process.env["DGATE_DATA"];
      else process.env["DGATE_DATA"] = before;
    }
  });
});
