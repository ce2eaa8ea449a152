import { randomGenerator } from "@dgate/core";
import { normalEquations } from "./group-lasso.ts";

/** Sizes of a `regressionProblem`. */
export interface RegressionOptions {
  readonly seed: number;
  readonly groups: number;
  readonly groupSize: number;
  readonly rows: number;
  /** Groups that the targets depend on: the first ones. */
  readonly relevant: number;
  /** Standard deviation of the noise in the targets. */
  readonly noise: number;
}

/** Least squares `‖Xw − y‖² / (2·rows)` with columns in consecutive groups. */
export interface RegressionProblem {
  /** X, row-major `[rows, columns]`, standard normal. */
  readonly design: Float64Array;
  /** y, `[rows]`. */
  readonly targets: Float64Array;
  /** Columns of each group. */
  readonly groups: readonly (readonly number[])[];
  /** Loss without any penalty. */
  readonly loss: (weights: ArrayLike<number>) => number;
  /** Gradient of the loss, `Gw − c`. */
  readonly gradient: (weights: ArrayLike<number>) => Float64Array;
}

/** Draws a seeded regression problem of which only some groups matter. */
export function regressionProblem(options: RegressionOptions): RegressionProblem {
  const { groups, groupSize, rows, relevant, noise } = options;
  const random = randomGenerator(options.seed);
  const columns = groups * groupSize;
  const design = Float64Array.from({ length: rows * columns }, () => random.normal());
  const truth = Float64Array.from({ length: columns }, (_, i) =>
    i < relevant * groupSize ? random.normal() : 0,
  );
  const product = (weights: ArrayLike<number>, row: number): number => {
    let sum = 0;
    for (let i = 0; i < columns; i += 1) sum += design[row * columns + i]! * weights[i]!;
    return sum;
  };
  const targets = Float64Array.from(
    { length: rows },
    (_, row) => product(truth, row) + noise * random.normal(),
  );
  const { gram, correlation } = normalEquations(design, targets);
  return {
    design,
    targets,
    groups: Array.from({ length: groups }, (_, j) =>
      Array.from({ length: groupSize }, (__, k) => j * groupSize + k),
    ),
    loss: (weights) =>
      targets.reduce((sum, y, row) => sum + (product(weights, row) - y) ** 2, 0) / (2 * rows),
    gradient: (weights) =>
      correlation.map((c, a) => {
        let sum = -c;
        for (let b = 0; b < columns; b += 1) sum += gram[a * columns + b]! * weights[b]!;
        return sum;
      }),
  };
}
