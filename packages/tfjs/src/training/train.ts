import { DgateError } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { type BatchOptions, batchRows } from "./batches.ts";
import { CallbackList, type TrainingCallback } from "./callback-list.ts";
import { seedDropout } from "./dropout.ts";
import { LossLog } from "./loss-log.ts";
import { checkFinite, checkFit, pairRows, type Rows, type TrainingData, takeRows } from "./training-data.ts";

/** Where training stands: so many whole epochs are done, and so many batches of the next one. */
export interface TrainingPosition {
  readonly epoch: number;
  readonly batch: number;
}

/** Options of `train`. */
export interface TrainOptions extends BatchOptions {
  /** Inputs, rows along the first axis. */
  readonly x: Rows;
  /** Targets, as many rows. */
  readonly y: Rows;
  /** Number of the last epoch: with a `start`, the epochs before it count. */
  readonly epochs: number;
  /** Evaluated after each epoch, as `val_…`; its loss has no penalty in it. */
  readonly validation?: { readonly x: Rows; readonly y: Rows; readonly batchSize?: number };
  readonly callbacks?: TrainingCallback | readonly TrainingCallback[];
  /** Where to go on, as `resume` found it. */
  readonly start?: TrainingPosition;
  readonly signal?: AbortSignal;
}

/** Mean loss (penalty included) and metrics of one epoch, and those of the validation data as `val_…`. */
export interface EpochLog {
  readonly epoch: number;
  readonly [metric: string]: number;
}

/**
 * Trains a compiled model, gated or not: what `model.fit` does, reproducibly and at less cost. Batches and dropout depend
 * on the seed and the position alone, so that a resumed run continues bit for bit on the cpu backend.
 *
 * @returns one log per epoch
 * @throws DgateError `SHAPE` for x and y of different length, `DATA` for NaN in them, `DIVERGED` with the step when the
 * loss is no longer finite, `ABORTED` when `signal` says so
 */
export async function train(model: tf.LayersModel, options: TrainOptions): Promise<EpochLog[]> {
  const { epochs, start = { epoch: 0, batch: 0 }, signal } = options;
  const data = await checkedData(model, options);
  const validation =
    options.validation && pairRows("train: validation", options.validation.x, options.validation.y);
  const callbacks = new CallbackList(options.callbacks);
  const compiled = compiledModel(model);
  const steps = batchRows(data.rows, 0, options).length;
  callbacks.attach(compiled, { epochs, initialEpoch: start.epoch, samples: data.rows, steps });
  const logs: EpochLog[] = [];
  compiled.stopTraining = false;
  try {
    await callbacks.trainBegin();
    for (let epoch = start.epoch; epoch < epochs && !compiled.stopTraining; epoch += 1) {
      await callbacks.epochBegin(epoch);
      const first = epoch === start.epoch ? start.batch : 0;
      const means = await trainEpoch(compiled, data, options, callbacks, epoch, first);
      const scores = validation ? await evaluate(compiled, validation, options.validation?.batchSize) : {};
      const log = { ...means, ...scores };
      logs.push({ epoch, ...log });
      await callbacks.epochEnd(epoch, log);
      throwIfAborted(signal);
    }
    await callbacks.trainEnd();
  } catch (error) {
    // Only then: weights that are not finite must not overwrite a good checkpoint.
    if (error instanceof DgateError && error.code === "ABORTED") await callbacks.interrupt();
    throw error;
  }
  return logs;
}

async function checkedData(model: tf.LayersModel, { epochs, x, y }: TrainOptions): Promise<TrainingData> {
  if (!compiledModel(model).optimizer) {
    throw new DgateError("OPTION", `train: model "${model.name}" has no optimizer: compile it first.`);
  }
  if (!Number.isSafeInteger(epochs) || epochs < 1) {
    throw new DgateError("OPTION", `train: epochs is ${epochs}, expected a whole number of at least 1.`);
  }
  const data = pairRows("train", x, y);
  checkFit("train", compiledModel(model), data);
  await checkFinite("train", data);
  return data;
}

/** A Sequential keeps losses and metrics in the functional model inside it, which is what `fit` trains, too. */
function compiledModel(model: tf.LayersModel): tf.LayersModel {
  // `model` is private in the typings of Sequential.
  return (model as unknown as { readonly model?: tf.LayersModel }).model ?? model;
}

const yieldMs = 100;
/** When timers, signals and the page were last given their turn: of this thread, since epochs and whole trainings may be shorter than the time between two. */
let yielded = performance.now();

async function yieldNowAndThen(): Promise<void> {
  if (performance.now() - yielded < yieldMs) return;
  // A page that is hidden has no frames.
  await new Promise((resolve) => setTimeout(resolve, 0));
  yielded = performance.now();
}

async function trainEpoch(
  model: tf.LayersModel,
  data: TrainingData,
  options: TrainOptions,
  callbacks: CallbackList,
  epoch: number,
  first: number,
): Promise<Record<string, number>> {
  const batches = batchRows(data.rows, epoch, options);
  const log = new LossLog(model.optimizer, ["loss", ...model.metricsNames.slice(1)], epoch);
  const reseed = seedDropout(model, options.seed ?? 0);
  for (let batch = first; batch < batches.length && !model.stopTraining; batch += 1) {
    throwIfAborted(options.signal);
    await callbacks.batchBegin(batch);
    reseed(epoch * batches.length + batch);
    const values = trainStep(model, data, batches[batch]!);
    await callbacks.batchEnd(batch, batches[batch]!.length, values[0]!);
    await log.add(values, batches[batch]!.length, batch);
    await yieldNowAndThen();
  }
  return log.means();
}

/** One step of the optimiser; returns the loss and the metrics, for the caller to dispose. */
function trainStep(model: tf.LayersModel, data: TrainingData, indices: Int32Array): tf.Scalar[] {
  const inputs = takeRows(data.inputs, indices);
  const targets = takeRows(data.targets, indices);
  // trainableWeights are typed by what their values may be; variables are all they are.
  const variables = model.trainableWeights.map((weight) => weight.read() as tf.Variable);
  let metrics: tf.Scalar[] = [];
  const loss = model.optimizer.minimize(
    () => {
      const outputs = asList(model.apply(inputs.length === 1 ? inputs[0]! : inputs, { training: true }));
      metrics = metricsOf(model, outputs, targets);
      return lossOf(model, outputs, targets);
    },
    true,
    variables,
  );
  tf.dispose([...inputs, ...targets]);
  return [loss!, ...metrics];
}

/** The loss of `compile` plus what the layers add to it: penalties and regularizers. */
function lossOf(
  model: tf.LayersModel,
  outputs: readonly tf.Tensor[],
  targets: readonly tf.Tensor[],
): tf.Scalar {
  const losses = model.lossFunctions.map((loss, i) => tf.mean<tf.Scalar>(loss(targets[i]!, outputs[i]!)));
  return [...losses, ...model.calculateLosses()].reduce((a, b) => tf.add(a, b));
}

/** Metrics in the order of `model.metricsNames`, which for several outputs begin with each output's loss. */
function metricsOf(
  model: tf.LayersModel,
  outputs: readonly tf.Tensor[],
  targets: readonly tf.Tensor[],
): tf.Scalar[] {
  return model.metricsTensors.map(([metric, output]) =>
    tf.keep(tf.tidy(() => tf.mean<tf.Scalar>(metric(targets[output]!, outputs[output]!)))),
  );
}

async function evaluate(
  model: tf.LayersModel,
  { inputs, targets }: TrainingData,
  batchSize = 256,
): Promise<Record<string, number>> {
  const scalars = [model.evaluate([...inputs], [...targets], { batchSize })].flat();
  const entries: [string, number][] = [];
  for (const [i, scalar] of scalars.entries()) {
    entries.push([`val_${model.metricsNames[i]}`, (await scalar.data())[0]!]);
  }
  tf.dispose(scalars);
  return Object.fromEntries(entries);
}

function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new DgateError("ABORTED", "train: cancelled.", { cause: signal.reason });
}

function asList(tensors: ReturnType<tf.LayersModel["apply"]>): tf.Tensor[] {
  return [tensors].flat() as tf.Tensor[];
}
