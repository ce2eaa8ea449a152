import { randomGenerator } from "@dgate/core";
import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { factorise, solveFactored } from "./cholesky.ts";

/** B·Bᵀ + I of random B: symmetric positive definite. */
function positiveDefinite(n: number, seed: number): Float64Array {
  const random = randomGenerator(seed);
  const b = Array.from({ length: n }, () => Array.from({ length: n }, () => random.normal()));
  return Float64Array.from({ length: n * n }, (_, at) => {
    const [i, j] = [Math.floor(at / n), at % n];
    return b[i]!.reduce((sum, x, t) => sum + x * b[j]![t]!, i === j ? 1 : 0);
  });
}

test("the factor times its transpose is the matrix, whatever the size beside the block's", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 110 }), fc.nat(), (n, seed) => {
      const matrix = positiveDefinite(n, seed);
      const factor = matrix.slice();
      expect(factorise(factor, n)).toBe(true);
      for (let i = 0; i < n; i++) {
        for (let j = 0; j <= i; j++) {
          let product = 0;
          for (let t = 0; t <= j; t++) product += factor[i * n + t]! * factor[j * n + t]!;
          expect(Math.abs(product - matrix[i * n + j]!)).toBeLessThan(1e-12 * n * n);
        }
      }
    }),
    { numRuns: 20 },
  );
});

test("solving gives back the rows that the matrix was multiplied with", () => {
  const [n, count] = [100, 19];
  const matrix = positiveDefinite(n, 3);
  const random = randomGenerator(4);
  const x = Float64Array.from({ length: count * n }, () => random.normal());
  const rows = Float64Array.from({ length: count * n }, (_, at) => {
    const [r, i] = [Math.floor(at / n), at % n];
    let sum = 0;
    for (let t = 0; t < n; t++) sum += matrix[i * n + t]! * x[r * n + t]!;
    return sum;
  });
  factorise(matrix, n);
  solveFactored(matrix, n, rows);
  rows.forEach((value, at) => expect(Math.abs(value - x[at]!)).toBeLessThan(1e-10));
});

test("a matrix that is not positive definite is told apart", () => {
  expect(factorise(Float64Array.of(1, 0, 2, 1), 2)).toBe(false); // eigenvalues 3 and −1
  expect(factorise(Float64Array.of(1, 1, 1, 1), 2)).toBe(false); // singular
  expect(factorise(new Float64Array(9), 3)).toBe(false);
  expect(factorise(Float64Array.of(Number.NaN), 1)).toBe(false);
  expect(factorise(Float64Array.of(2, 0, 1, 2), 2)).toBe(true);
});
