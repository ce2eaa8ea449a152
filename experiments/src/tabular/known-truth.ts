import { randomGenerator } from "@dgate/core";
import { scaled, scaleOf } from "./split.ts";
import type { Rows, TableData } from "./table-task.ts";

/** Features of the problem. */
export const featureCount = 40;

/** The features that matter. */
export const truth: readonly number[] = [0, 1, 2, 3, 4, 5];

/** Correlation of features 6 to 11 with the six that matter, in their order. */
const correlation = 0.7;
/** Standard deviation of what no feature tells. */
const noise = 0.5;

/** Of six features, three of them through products alone. */
const signal = ([a, b, c, d, e, f]: readonly number[]): number =>
  1.5 * a! + 1.5 * b! * c! + 1.5 * Math.sin(2 * d!) + e! + 1.5 * e! * f!;

/**
 * A problem of which it is known what matters: standard normal features, six of which the target is a function of, with products and noise; six others are
 * correlated with these, 28 with nothing. The target has mean 0 and deviation 1 over the rows to train on.
 */
export function knownTruth(seed: number, trainCount: number, testCount: number): TableData {
  const random = randomGenerator(seed + 40_000);
  const draw = (): { readonly row: readonly number[]; readonly target: number } => {
    const row = Array.from({ length: featureCount }, () => random.normal());
    for (const feature of truth) {
      const twin = feature + truth.length;
      row[twin] = correlation * row[feature]! + Math.sqrt(1 - correlation ** 2) * row[twin]!;
    }
    return { row, target: signal(row) + noise * random.normal() };
  };
  const [train, test] = [trainCount, testCount].map((count) => Array.from({ length: count }, draw));
  const scale = scaleOf(train!.map(({ target }) => target));
  const rowsOf = (drawn: readonly ReturnType<typeof draw>[]): Rows => ({
    count: drawn.length,
    x: Float32Array.from(drawn.flatMap(({ row }) => row)),
    y: Float32Array.from(drawn, ({ target }) => scaled(target, scale)),
  });
  return { features: featureCount, train: rowsOf(train!), test: rowsOf(test!), unit: 1 };
}
