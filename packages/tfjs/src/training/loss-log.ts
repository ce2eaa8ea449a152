import { DgateError } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { learningRateOf } from "./optimizer-state.ts";

// Reading a value waits for a GPU: look at the loss now and then.
const readEvery = 20;

/** Running means of loss and metrics over one epoch; throws `DIVERGED` when the loss is no longer finite. */
export class LossLog {
  readonly #optimizer: tf.Optimizer;
  readonly #names: readonly string[];
  readonly #epoch: number;
  readonly #sums: number[];
  #rows = 0;
  #pending: { values: tf.Tensor; size: number; batch: number }[] = [];

  constructor(optimizer: tf.Optimizer, names: readonly string[], epoch: number) {
    this.#optimizer = optimizer;
    this.#names = names;
    this.#epoch = epoch;
    this.#sums = names.map(() => 0);
  }

  /** Takes over the scalars of one step. */
  async add(values: readonly tf.Scalar[], size: number, batch: number): Promise<void> {
    this.#pending.push({ values: tf.stack([...values]), size, batch });
    tf.dispose([...values]);
    if (this.#pending.length >= readEvery) await this.#read();
  }

  /** Means over the rows seen, by name. */
  async means(): Promise<Record<string, number>> {
    await this.#read();
    // An epoch that was resumed behind its last batch has nothing to tell.
    if (this.#rows === 0) return {};
    return Object.fromEntries(this.#names.map((name, i) => [name, this.#sums[i]! / this.#rows]));
  }

  async #read(): Promise<void> {
    const pending = this.#pending;
    this.#pending = [];
    for (const { values, size, batch } of pending) {
      const numbers = await values.data();
      if (!Number.isFinite(numbers[0]!)) {
        tf.dispose(pending.map((entry) => entry.values));
        throw diverged(this.#optimizer, numbers[0]!, this.#epoch, batch);
      }
      values.dispose();
      this.#rows += size;
      for (const [i, value] of numbers.entries()) this.#sums[i]! += value * size;
    }
  }
}

/** The error for a loss that is no longer finite, with what most often is behind it. */
export function diverged(optimizer: tf.Optimizer, loss: number, epoch: number, batch: number): DgateError {
  const rate = learningRateOf(optimizer);
  return new DgateError(
    "DIVERGED",
    `training: the loss is ${loss} at epoch ${epoch + 1}, step ${batch + 1}. Most likely the learning rate` +
      `${rate === undefined ? "" : ` (${rate})`} is too high (halve it, or warm it up over the first epochs, ` +
      `which depth 3 and more need), or the penalty's λ is too large: learning rate times λ must stay well below 1.`,
  );
}
