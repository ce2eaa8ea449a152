import { findDeadGroups } from "@dgate/core";
import {
  lambdaSchedule,
  learningRateSchedule,
  type SparsityMonitor,
  type SparsityRecord,
  sparsityMonitor,
  type StatefulCallback,
  train,
  type TrainingCallback,
  type TrainingPosition,
} from "@dgate/tfjs";
import * as tf from "@tensorflow/tfjs";
import { type EpochRecord, significant } from "./document.ts";
import { flowPositions, penaltySchedule, rateSchedule } from "./rates.ts";
import { scoreModel } from "./score.ts";
import type { Session } from "./session.ts";

/** What observes a training: each holds its records and belongs into a checkpoint. */
export interface Observers {
  readonly scores: TestScores;
  /** Of gated models alone. */
  readonly monitor: SparsityMonitor | undefined;
}

/** Gives a model the optimiser and loss of the request; the outputs are logits, which is stabler than probabilities. */
export function compile(model: tf.LayersModel, { request, task }: Session): void {
  const { optimizer, lr, momentum } = request;
  model.compile({
    optimizer: optimizer === "adam" ? tf.train.adam(lr) : tf.train.momentum(lr, momentum),
    loss: task.kind === "classification" ? softmaxCrossEntropy : "meanSquaredError",
  });
}

const softmaxCrossEntropy = (labels: tf.Tensor, logits: tf.Tensor): tf.Tensor =>
  tf.losses.softmaxCrossEntropy(labels, logits);

export function observersOf(session: Session, gated: boolean): Observers {
  const threshold = { relative: session.request.threshold };
  return {
    scores: new TestScores(session),
    monitor: gated ? sparsityMonitor({ print: false, threshold }) : undefined,
  };
}

/** Trains a compiled model under observation. `label` stands in front of the lines of progress. */
export async function fit(
  session: Session,
  model: tf.LayersModel,
  label: string,
  { scores, monitor }: Observers,
  more: {
    readonly callbacks?: readonly TrainingCallback[];
    readonly start?: TrainingPosition | undefined;
  } = {},
): Promise<void> {
  const { request, context, x, y } = session;
  await train(model, {
    x,
    y,
    epochs: request.epochs,
    batchSize: request.batch,
    seed: request.seed,
    signal: context.signal,
    callbacks: [
      learningRateSchedule(rateSchedule(request)),
      ...(monitor ? [lambdaSchedule(penaltySchedule(request)), monitor] : []),
      scores,
      progressLines(session, label, { scores, monitor }),
      // Last, so that a checkpoint holds what the others recorded.
      ...(more.callbacks ?? []),
    ],
    ...(more.start ? { start: more.start } : {}),
  });
}

/** Loss and test score after each epoch; 0 is the start. */
class TestScores extends tf.Callback implements StatefulCallback {
  readonly stateName = "testScores";
  readonly #session: Session;
  records: { readonly epoch: number; readonly loss: number | null; readonly score: number }[] = [];

  constructor(session: Session) {
    super();
    this.#session = session;
  }

  override async onTrainBegin(): Promise<void> {
    if (this.records.length === 0) await this.#measure(0, null);
  }

  override async onEpochEnd(epoch: number, logs?: tf.Logs): Promise<void> {
    await this.#measure(epoch + 1, logs?.["loss"] ?? null);
  }

  saveState(): unknown {
    return this.records;
  }

  loadState(state: unknown): void {
    // Written by saveState; the checkpoint as a whole has been checked.
    this.records = [...(state as TestScores["records"])];
  }

  async #measure(epoch: number, loss: number | null): Promise<void> {
    const { task, shape } = this.#session;
    this.records.push({ epoch, loss, score: await scoreModel(this.model, task, shape) });
  }
}

/** The bar of a terminal, and a line per epoch (at most twenty in all). */
function progressLines(
  { context: { progress }, request: { epochs, batch, threshold }, task }: Session,
  label: string,
  { scores, monitor }: Observers,
): tf.CustomCallbackArgs {
  const stepsPerEpoch = Math.ceil(task.train.count / batch);
  const every = Math.ceil(epochs / 20);
  let current = 0;
  return {
    onEpochBegin: async (epoch) => {
      current = epoch;
    },
    onBatchBegin: async (step) => {
      const done = (current + step / stepsPerEpoch) / epochs;
      progress.bar(done, `${label}, epoch ${current + 1} of ${epochs}`);
    },
    onEpochEnd: async (epoch) => {
      if ((epoch + 1) % every !== 0 && epoch + 1 !== epochs) return;
      const { loss, score } = scores.records.at(-1)!;
      const norms = Object.values(monitor?.records.at(-1)?.norms ?? {});
      const active = norms.reduce((sum, site) => sum + activeOf(site, threshold), 0);
      const groups = monitor ? `, ${active} of ${norms.flat().length} groups` : "";
      progress.line(
        `${label}, epoch ${epoch + 1} of ${epochs}: loss ${loss?.toFixed(4)}, test ${(100 * score).toFixed(2)} %${groups}`,
      );
    },
  };
}

/** Joins what the observers recorded. */
export function historyOf({ request, task }: Session, { scores, monitor }: Observers): EpochRecord[] {
  const positions = flowPositions(request, Math.ceil(task.train.count / request.batch));
  return scores.records.map(({ epoch, loss, score }) => ({
    epoch,
    time: significant(positions[epoch]?.time ?? 0),
    lambdaTime: significant(positions[epoch]?.lambdaTime ?? 0),
    loss: loss === null ? null : significant(loss),
    accuracy: score,
    sites: sitesOf(
      monitor?.records.find((record) => record.epoch === epoch),
      request,
    ),
  }));
}

/** Groups above the threshold by their true norms: the gates of every site count, as they do when the model is pruned. */
function activeOf(norms: readonly number[] = [], relative: number): number {
  return norms.length > 0 ? findDeadGroups(norms, { relative, keepAtLeast: 0 }).kept.length : 0;
}

function sitesOf(
  record: SparsityRecord | undefined,
  { threshold, lambda }: Session["request"],
): EpochRecord["sites"] {
  if (!record) return [];
  return record.report.sites.map(({ site, smooth, sparse, gap, imbalance, medianImbalance }) => {
    // Penalties are proportional to λ, which may be anything at the moment.
    const now = record.lambda[site] ?? 0;
    const scaled = (penalty: number): number => significant(now > 0 ? (penalty * lambda) / now : 0);
    return {
      site,
      active: activeOf(record.norms[site], threshold),
      smooth: scaled(smooth),
      sparse: scaled(sparse),
      gap: scaled(gap),
      imbalance: significant(imbalance),
      medianImbalance: significant(medianImbalance),
      norms: (record.norms[site] ?? []).map((norm) => significant(norm, 4)),
    };
  });
}
