import { mkdir, open, readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { DgateError } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import type { StatefulCallback } from "../callbacks/stateful.ts";
import type { InterruptionListener } from "./callback-list.ts";
import { readCheckpoint, writeCheckpoint } from "./checkpoint-file.ts";
import type { TrainingPosition } from "./train.ts";

const fileName = "checkpoint.safetensors";

/** Options of `checkpoint`. */
export interface CheckpointOptions {
  /** Folder of the checkpoint; made if it is not there. */
  readonly directory: string;
  /** Save after every so many epochs (default 1), or batches. */
  readonly every?: number | { readonly batches: number };
  /** Callbacks whose memory is saved, too: monitors, controllers. */
  readonly include?: readonly StatefulCallback[];
}

/** Saves training to disk; see `checkpoint`. */
export class Checkpoint extends tf.Callback implements InterruptionListener {
  readonly #options: CheckpointOptions;
  #position: TrainingPosition = { epoch: 0, batch: 0 };

  constructor(options: CheckpointOptions) {
    super();
    const { every = 1 } = options;
    const count = typeof every === "number" ? every : every.batches;
    if (!Number.isSafeInteger(count) || count < 1) {
      throw new DgateError("OPTION", `checkpoint: every is ${count}, expected a whole number of at least 1.`);
    }
    this.#options = options;
  }

  override async onTrainBegin(): Promise<void> {
    await guarded(this.#options.directory, "make the folder", () =>
      mkdir(this.#options.directory, { recursive: true }),
    );
  }

  override async onEpochBegin(epoch: number): Promise<void> {
    if (this.#position.epoch !== epoch) this.#position = { epoch, batch: 0 };
  }

  override async onBatchEnd(batch: number): Promise<void> {
    this.#position = { epoch: this.#position.epoch, batch: batch + 1 };
    const { every = 1 } = this.#options;
    if (typeof every !== "number" && (batch + 1) % every.batches === 0) await this.save();
  }

  override async onEpochEnd(epoch: number): Promise<void> {
    this.#position = { epoch: epoch + 1, batch: 0 };
    const { every = 1 } = this.#options;
    if (typeof every !== "number" || (epoch + 1) % every === 0) await this.save();
  }

  override async onTrainEnd(): Promise<void> {
    await this.save();
  }

  /** An aborted training is saved where it stands. */
  async onInterrupt(): Promise<void> {
    await this.save();
  }

  /** Writes the checkpoint now: under another name first, so that there is a whole one at any moment. */
  async save(): Promise<void> {
    const { directory, include } = this.#options;
    const bytes = await writeCheckpoint(this.model, this.#position, include);
    await guarded(directory, "write a checkpoint into", () => replaceFile(join(directory, fileName), bytes));
  }
}

/**
 * A callback that saves training to `directory` so that `resume` continues it exactly, after a `kill -9`, too. Weights,
 * gates, optimiser slots, λ and the memory of the callbacks in `include` are saved. With `fit` it must be the last
 * callback; `train` sees to that.
 */
export function checkpoint(options: CheckpointOptions): Checkpoint {
  return new Checkpoint(options);
}

/**
 * Puts the checkpoint in `directory` back into a model that was built, gated and compiled as the saved one.
 *
 * @returns where to go on: `train(model, { …, start })`, or `fitDataset` with `initialEpoch: start.epoch`
 * @throws DgateError `IO` if there is no checkpoint, `FORMAT` and `CHECK` if it is damaged or of another model
 */
export async function resume(
  model: tf.LayersModel,
  directory: string,
  { include = [] }: Pick<CheckpointOptions, "include"> = {},
): Promise<TrainingPosition> {
  const bytes = await guarded(directory, "read the checkpoint in", () => readFile(join(directory, fileName)));
  return readCheckpoint(model, bytes, include);
}

async function replaceFile(path: string, bytes: Uint8Array): Promise<void> {
  const partial = `${path}.partial`;
  const file = await open(partial, "w");
  try {
    await file.writeFile(bytes);
    // The data must be on disk before the name is: a crash would leave an empty file of the right name.
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partial, path);
}

async function guarded<T>(directory: string, action: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new DgateError("IO", `checkpoint: cannot ${action} "${directory}": ${reason}.`, { cause });
  }
}
