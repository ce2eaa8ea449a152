import * as tf from "@tensorflow/tfjs";
import { diverged } from "../training/loss-log.ts";

class NanGuard extends tf.Callback {
  readonly #every: number;
  #epoch = 0;

  constructor(every: number) {
    super();
    this.#every = every;
  }

  override async onEpochBegin(epoch: number): Promise<void> {
    this.#epoch = epoch;
  }

  override async onBatchEnd(
    batch: number,
    logs: { readonly [name: string]: number | tf.Scalar } = {},
  ): Promise<void> {
    if ((batch + 1) % this.#every !== 0) return;
    const { loss } = logs;
    const value = typeof loss === "number" ? loss : (await loss?.data())?.[0];
    if (value !== undefined && !Number.isFinite(value)) {
      throw diverged(this.model.optimizer, value, this.#epoch, batch);
    }
  }
}

/**
 * Stops `fit` with a `DIVERGED` error, which names the step and the likely cause, when the loss is no longer finite.
 * `train` has this built in.
 *
 * @param options.every look at the loss every so many steps (default 20): reading it waits for a GPU
 */
export function nanGuard({ every = 20 }: { readonly every?: number } = {}): tf.Callback {
  return new NanGuard(every);
}
