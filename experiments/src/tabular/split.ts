import { randomGenerator } from "@dgate/core";

/** Indices of rows. */
interface Split {
  readonly train: readonly number[];
  readonly test: readonly number[];
}

/** Draws rows to score with; each label has the same part of its rows among them, up to rounding. */
export function stratifiedSplit(labels: readonly number[], testPart: number, seed: number): Split {
  const random = randomGenerator(seed);
  const parts = [...new Set(labels)].map((label): Split => {
    const order = random.shuffle(labels.flatMap((each, row) => (each === label ? [row] : [])));
    const tested = Math.round(testPart * order.length);
    return { train: order.slice(tested), test: order.slice(0, tested) };
  });
  return { train: parts.flatMap(({ train }) => train), test: parts.flatMap(({ test }) => test) };
}

/** Mean and standard deviation of numbers; numbers that are all the same have a deviation of 1. */
export interface Scale {
  readonly mean: number;
  readonly deviation: number;
}

/** Of at least one number. */
export function scaleOf(values: readonly number[]): Scale {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const variance = values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length;
  return { mean, deviation: Math.sqrt(variance) || 1 };
}

/** In deviations from the mean. */
export const scaled = (value: number, { mean, deviation }: Scale): number => (value - mean) / deviation;
