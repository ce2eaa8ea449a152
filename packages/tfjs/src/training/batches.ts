import { DgateError, randomGenerator } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { pairRows, type Rows, takeRows } from "./training-data.ts";

/** How rows are dealt into batches. */
export interface BatchOptions {
  /** Rows in a batch; the last one may be smaller. Default 32. */
  readonly batchSize?: number;
  /** Whole number; order and batches depend on it and on the epoch alone. Default 0. */
  readonly seed?: number;
  /** Default true. */
  readonly shuffle?: boolean;
}

/** The row numbers of each batch of one epoch. The same seed and epoch give the same batches on every machine. */
export function batchRows(
  rows: number,
  epoch: number,
  { batchSize = 32, seed = 0, shuffle = true }: BatchOptions = {},
): Int32Array[] {
  if (!Number.isSafeInteger(batchSize) || batchSize < 1) {
    throw new DgateError("OPTION", `batchSize is ${batchSize}, expected a whole number of at least 1.`);
  }
  const order = Int32Array.from({ length: rows }, (_, i) => i);
  if (shuffle) randomGenerator(epochSeed(seed, epoch)).shuffle(order);
  const batches = Math.ceil(rows / batchSize);
  return Array.from({ length: batches }, (_, b) => order.slice(b * batchSize, (b + 1) * batchSize));
}

/** A seed for one epoch: epochs of one run do not meet those of a run with a neighbouring seed. */
export function epochSeed(seed: number, epoch: number): number {
  if (Number.isSafeInteger(seed) && Math.abs(seed) < 2 ** 31) return seed * 2 ** 20 + epoch;
  throw new DgateError("OPTION", `seed is ${seed}, expected a whole number between −2³¹ and 2³¹.`);
}

/**
 * A data set for `model.fitDataset` whose order depends on seed and epoch alone; `fit` shuffles with Math.random, so that
 * no run could be repeated or resumed. Each iteration is the next epoch, starting with `initialEpoch`.
 *
 * The tensors stay the caller's.
 */
export function shuffledBatches(
  x: Rows,
  y: Rows,
  { initialEpoch = 0, ...options }: BatchOptions & { readonly initialEpoch?: number } = {},
): tf.data.Dataset<tf.TensorContainer> {
  const { inputs, targets, rows } = pairRows("shuffledBatches", x, y);
  const count = batchRows(rows, initialEpoch, options).length;
  let epoch = initialEpoch;
  // fitDataset opens one iterator more than it reads: an epoch counts from its first batch.
  function* batches(): Generator<tf.TensorContainer> {
    const mine = epoch;
    epoch += 1;
    for (const indices of batchRows(rows, mine, options)) {
      yield { xs: single(takeRows(inputs, indices)), ys: single(takeRows(targets, indices)) };
    }
  }
  const dataset = tf.data.generator(batches);
  // Tells fitDataset, and through it the schedules, how long an epoch is.
  Object.defineProperty(dataset, "size", { value: count });
  return dataset;
}

function single(tensors: tf.Tensor[]): tf.Tensor | tf.Tensor[] {
  return tensors.length === 1 ? tensors[0]! : tensors;
}
