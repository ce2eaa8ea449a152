import { DgateError } from "@dgate/core";
import type { Batch, Graph } from "@dgate/onnx";
import type { EncodedExample } from "../data/encode.ts";
import { feedsFor, inBatches, lengthOf, shuffled } from "../data/feeds.ts";

/** Examples to learn from, and those to score on. */
export interface SplitData {
  readonly training: readonly EncodedExample[];
  readonly heldOut: readonly EncodedExample[];
}

/** The least number of examples that a score says something about. */
const fewest = 8;

/**
 * Holds a part of the data out.
 *
 * @param fraction of the examples, above 0 and below 1 (default 0.1), 8 examples at least; of very few examples half
 * @throws DgateError `OPTION`, `DATA` for a single example
 */
export function splitData(
  examples: readonly EncodedExample[],
  fraction: number | undefined,
  random: () => number,
): SplitData {
  if (fraction !== undefined && !(fraction > 0 && fraction < 1)) {
    throw new DgateError(
      "OPTION",
      `learn: heldOut is ${fraction}, expected a fraction of the data above 0 and below 1.`,
    );
  }
  if (examples.length < 2) {
    throw new DgateError(
      "DATA",
      "learn: one example cannot be both learned from and scored on; give at least 2, better 200.",
    );
  }
  const wanted = Math.max(fewest, Math.round((fraction ?? 0.1) * examples.length));
  const count = Math.min(wanted, Math.floor(examples.length / 2));
  const order = shuffled(examples, random);
  return { heldOut: order.slice(0, count), training: order.slice(count) };
}

/** How training data becomes batches. */
interface StreamOptions {
  readonly batchSize: number;
  readonly padId: number;
  /** Input that takes the labels. */
  readonly labels: string | undefined;
  readonly random: () => number;
}

/** Batches without end: all examples in a new order, again and again. */
export function* endlessBatches(
  graph: Graph,
  examples: readonly EncodedExample[],
  { batchSize, padId, labels, random }: StreamOptions,
): Generator<Batch> {
  for (;;) {
    for (const rows of inBatches(examples, batchSize, random)) {
      const { feeds } = feedsFor(graph, rows, padId);
      yield labels === undefined ? feeds : { ...feeds, [labels]: labelsOf(rows) };
    }
  }
}

const labelsOf = (rows: readonly EncodedExample[]): Batch[string] => ({
  dtype: "int64",
  shape: [rows.length],
  data: BigInt64Array.from(rows, ({ label }) => BigInt(label!)), // the objective has looked that they are there
});

/** The example of middle length: what latency is measured with. */
export function middleExample(examples: readonly EncodedExample[]): EncodedExample {
  const sorted = examples.toSorted((a, b) => lengthOf(a) - lengthOf(b));
  return sorted[Math.floor(sorted.length / 2)]!;
}
