import * as tf from "@tensorflow/tfjs";

/** A callback that acts before every step and knows how far training has come. Works with `fit`, `fitDataset`, `train`. */
export abstract class ProgressCallback extends tf.Callback {
  #epoch = 0;
  #steps = 0;

  /** @param progress steps done / steps in all, in [0, 1) */
  protected abstract apply(progress: number): void;

  override async onEpochBegin(epoch: number): Promise<void> {
    this.#epoch = epoch;
  }

  override async onBatchBegin(batch: number): Promise<void> {
    const { epochs, steps, samples, batchSize } = this.params as Record<string, number | null | undefined>;
    // Of a data set of unknown length, the longest epoch so far is known.
    this.#steps = Math.max(this.#steps, batch + 1);
    const perEpoch = steps ?? (samples && batchSize ? Math.ceil(samples / batchSize) : this.#steps);
    const share = Math.min(1, batch / Math.max(1, perEpoch));
    this.apply((this.#epoch + share) / Math.max(1, epochs ?? 1));
  }
}
