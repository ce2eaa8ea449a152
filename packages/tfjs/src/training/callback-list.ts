import * as tf from "@tensorflow/tfjs";

type Params = Parameters<tf.Callback["setParams"]>[0];

/** What `fit` takes: `tf.Callback` objects, or objects with some of their methods. */
export interface TrainingCallback {
  onTrainBegin?(logs?: tf.Logs): void | Promise<void>;
  onTrainEnd?(logs?: tf.Logs): void | Promise<void>;
  onEpochBegin?(epoch: number, logs?: tf.Logs): void | Promise<void>;
  onEpochEnd?(epoch: number, logs?: tf.Logs): void | Promise<void>;
  onBatchBegin?(batch: number, logs?: tf.Logs): void | Promise<void>;
  onBatchEnd?(batch: number, logs?: tf.Logs): void | Promise<void>;
}

/** A callback that wants to know when training is aborted rather than ended. */
export interface InterruptionListener {
  onInterrupt(): Promise<void>;
}

/** Calls several callbacks in order, as `fit` does. */
export class CallbackList {
  readonly #callbacks: readonly TrainingCallback[];

  constructor(callbacks: TrainingCallback | readonly TrainingCallback[] = []) {
    const list = Array.isArray(callbacks)
      ? (callbacks as readonly TrainingCallback[])
      : [callbacks as TrainingCallback];
    // What saves the state of training comes after all that change it.
    this.#callbacks = [...list].sort(
      (a, b) => Number(listensForInterrupt(a)) - Number(listensForInterrupt(b)),
    );
  }

  attach(model: tf.LayersModel, params: Params): void {
    for (const callback of this.#callbacks) {
      if (!(callback instanceof tf.Callback)) continue;
      callback.setParams(params);
      callback.setModel(model);
    }
  }

  async trainBegin(): Promise<void> {
    for (const callback of this.#callbacks) await callback.onTrainBegin?.();
  }

  async trainEnd(): Promise<void> {
    for (const callback of this.#callbacks) await callback.onTrainEnd?.();
  }

  async epochBegin(epoch: number): Promise<void> {
    for (const callback of this.#callbacks) await callback.onEpochBegin?.(epoch);
  }

  async epochEnd(epoch: number, logs: tf.Logs): Promise<void> {
    for (const callback of this.#callbacks) await callback.onEpochEnd?.(epoch, logs);
  }

  async batchBegin(batch: number): Promise<void> {
    for (const callback of this.#callbacks) await callback.onBatchBegin?.(batch, { batch });
  }

  /** Objects get numbers, `tf.Callback`s the scalars as they are: reading one waits for a GPU. */
  async batchEnd(batch: number, size: number, loss: tf.Scalar): Promise<void> {
    for (const callback of this.#callbacks) {
      if (callback instanceof tf.Callback) {
        await callback.onBatchEnd(batch, { batch, size, loss });
      } else if (callback.onBatchEnd) {
        await callback.onBatchEnd(batch, { batch, size, loss: (await loss.data())[0]! });
      }
    }
  }

  async interrupt(): Promise<void> {
    for (const callback of this.#callbacks) if (listensForInterrupt(callback)) await callback.onInterrupt();
  }
}

function listensForInterrupt(
  callback: TrainingCallback,
): callback is TrainingCallback & InterruptionListener {
  return "onInterrupt" in callback && typeof callback.onInterrupt === "function";
}
