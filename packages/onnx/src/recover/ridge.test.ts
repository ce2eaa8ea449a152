import { randomGenerator } from "@dgate/core";
import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { NormalEquations } from "./normal-equations.ts";
import { fitRidge } from "./ridge.ts";

interface Problem {
  /** Samples as rows; with a bias the last input is 1. */
  readonly x: readonly Float64Array[];
  readonly y: readonly Float64Array[];
  readonly prior: Float64Array;
  readonly k: number;
  readonly m: number;
  readonly bias: boolean;
}

/** Inputs of different sizes that hang together, so that the bias and the mean of the diagonal matter. */
function problem({ k, m, n, bias, seed }: Sizes): Problem {
  const random = randomGenerator(seed);
  const draw = (length: number): Float64Array => Float64Array.from({ length }, () => random.normal());
  const scale = Float64Array.from({ length: k }, () => 0.2 + 3 * random.next());
  const x = Array.from({ length: n }, () => {
    const common = random.normal();
    const row = draw(k).map((value, i) => scale[i]! * (value + common) + 1);
    if (bias) row[k - 1] = 1;
    return row;
  });
  return { x, y: x.map(() => draw(m)), prior: draw(m * k), k, m, bias };
}

interface Sizes {
  readonly k: number;
  readonly m: number;
  readonly n: number;
  readonly bias: boolean;
  readonly seed: number;
}

const sizes = fc.record({
  k: fc.integer({ min: 2, max: 12 }),
  m: fc.integer({ min: 1, max: 5 }),
  n: fc.integer({ min: 1, max: 300 }),
  bias: fc.boolean(),
  seed: fc.nat(),
});

function equationsOf({ x, y, k, m }: Problem): NormalEquations {
  const equations = new NormalEquations(k, m);
  x.forEach((row, i) => expect(equations.add(row, y[i]!)).toBe(true));
  equations.finish();
  return equations;
}

/** Σ‖w·x − y‖², sample by sample. */
function errorBySamples({ x, y, k }: Problem, w: Float64Array): number {
  let error = 0;
  for (const [s, row] of x.entries()) {
    y[s]!.forEach((target, j) => {
      error += (row.reduce((sum, value, i) => sum + value * w[j * k + i]!, 0) - target) ** 2;
    });
  }
  return error;
}

/** Solves a·z = b by Gaussian elimination with row pivots. */
function eliminate(a: readonly (readonly number[])[], b: readonly number[]): number[] {
  const rows = a.map((row, i) => [...row, b[i]!]);
  const n = rows.length;
  for (let c = 0; c < n; c++) {
    const best = rows
      .slice(c)
      .reduce((at, row, i) => (Math.abs(row[c]!) > Math.abs(rows[at]![c]!) ? c + i : at), c);
    [rows[c], rows[best]] = [rows[best]!, rows[c]!];
    for (let r = c + 1; r < n; r++) {
      const factor = rows[r]![c]! / rows[c]![c]!;
      for (let t = c; t <= n; t++) rows[r]![t]! -= factor * rows[c]![t]!;
    }
  }
  const z = Array.from({ length: n }, () => 0);
  for (let r = n - 1; r >= 0; r--) {
    let rest = rows[r]![n]!;
    for (let t = r + 1; t < n; t++) rest -= rows[r]![t]! * z[t]!;
    z[r] = rest / rows[r]![r]!;
  }
  return z;
}

/** (XᵀX + Λ)·w = Xᵀy + Λ·w₀ for one output, written out from the samples. */
function reference({ x, y, prior, k, bias }: Problem, ridge: number, j: number): number[] {
  const gram = Array.from({ length: k }, (_, a) =>
    Array.from({ length: k }, (_unused, b) => x.reduce((sum, row) => sum + row[a]! * row[b]!, 0)),
  );
  const weighted = bias ? k - 1 : k;
  const mean = gram.slice(0, weighted).reduce((sum, row, i) => sum + row[i]!, 0) / weighted;
  const lambda = gram.map((row, i) => ridge * (bias && i === k - 1 ? row[i]! : mean));
  return eliminate(
    gram.map((row, a) => row.map((value, b) => (a === b ? value + lambda[a]! : value))),
    gram.map((_, a) => x.reduce((sum, row, s) => sum + row[a]! * y[s]![j]!, lambda[a]! * prior[j * k + a]!)),
  );
}

test("the fit solves the ridge normal equations as Gaussian elimination does", () => {
  fc.assert(
    fc.property(sizes, fc.constantFrom(1e-3, 1e-2, 1), (size, ridge) => {
      const given = problem(size);
      const fit = fitRidge(equationsOf(given), given.prior, ridge, given.bias)!;
      expect(fit.ridge).toBe(ridge);
      for (let j = 0; j < given.m; j++) {
        reference(given, ridge, j).forEach((value, i) => {
          expect(Math.abs(fit.weights[j * given.k + i]! - value)).toBeLessThan(1e-8 * (1 + Math.abs(value)));
        });
      }
    }),
  );
});

test("the error from the sums is the error sample by sample, and a fit never raises it", () => {
  fc.assert(
    fc.property(sizes, fc.constantFrom(0, 1e-4, 1e-2, 1, 100), (size, ridge) => {
      const given = problem(size);
      const equations = equationsOf(given);
      const before = errorBySamples(given, given.prior);
      expect(Math.abs(equations.errorOf(given.prior) - before)).toBeLessThan(1e-9 * before);
      const fit = fitRidge(equations, given.prior, ridge, given.bias)!;
      const after = errorBySamples(given, fit.weights);
      expect(after).toBeLessThanOrEqual(before * (1 + 1e-9));
      expect(Math.abs(equations.errorOf(fit.weights) - after)).toBeLessThan(1e-8 * (before + 1));
    }),
  );
});

test("a ridge without bound leaves the weights where they are", () => {
  const given = problem({ k: 6, m: 3, n: 40, bias: true, seed: 5 });
  const { weights } = fitRidge(equationsOf(given), given.prior, 1e12, true)!;
  weights.forEach((value, i) => expect(Math.abs(value - given.prior[i]!)).toBeLessThan(1e-9));
});

test("plain least squares with fewer samples than unknowns takes the least ridge that can be solved", () => {
  const given = problem({ k: 8, m: 2, n: 3, bias: false, seed: 6 });
  const fit = fitRidge(equationsOf(given), given.prior, 0, false)!;
  expect(fit.ridge).toBeGreaterThan(0);
  expect(fit.ridge).toBeLessThan(1e-6);
  expect(errorBySamples(given, fit.weights)).toBeLessThan(1e-8 * errorBySamples(given, given.prior));
});

test("inputs that are all zero decide nothing", () => {
  const equations = new NormalEquations(3, 1);
  equations.add(new Float64Array(3), Float64Array.of(1));
  equations.finish();
  expect(fitRidge(equations, Float64Array.of(1, 2, 3), 0.01, false)).toBeUndefined();
});

test("a sample with NaN or an infinite number is left out", () => {
  const equations = new NormalEquations(2, 1);
  expect(equations.add(Float64Array.of(1, Number.NaN), Float64Array.of(1))).toBe(false);
  expect(equations.add(Float64Array.of(1, 2), Float64Array.of(Infinity))).toBe(false);
  expect(equations.add(Float64Array.of(1, 2), Float64Array.of(3))).toBe(true);
  equations.finish();
  expect([equations.samples, ...equations.gram]).toEqual([1, 1, 2, 2, 4]);
  expect([...equations.cross, equations.energy]).toEqual([3, 6, 9]);
});
