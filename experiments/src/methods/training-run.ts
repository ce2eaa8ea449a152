import type { Graph } from "@dgate/onnx";
import { openTrainer, type Schedule, type Trainer, type TrainerOptions } from "@dgate/onnx/train";
import type { Backend, Task } from "../training/task.ts";

/** What a method works with. */
export interface MethodContext {
  readonly task: Task;
  readonly seed: number;
  readonly backend: Backend;
}

/** A phase of training: from one step of the task's to another, with the task's schedule over it. */
export interface Phase {
  readonly from: number;
  readonly to: number;
  /** In place of the task's. */
  readonly learningRate?: Schedule;
}

/** Trains a model for a phase and hands over the trainer; every method has the task's optimiser, schedule and batches. */
export async function trainPhase<T>(
  { task, seed, backend }: MethodContext,
  model: Graph,
  { from, to, learningRate = task.learningRate }: Phase,
  options: Partial<TrainerOptions>,
  finish: (trainer: Trainer) => Promise<T>,
): Promise<T> {
  const { gateSpeed = 1 } = task;
  const hasGates = options.gate !== "none" && (options.penalty ?? "smooth") === "smooth";
  const rate = options.learningRate ?? learningRate;
  const trainer = await openTrainer(model, {
    loss: task.loss,
    train: "all",
    optimizer: task.optimizer(),
    learningRate,
    ...(gateSpeed !== 1 &&
      hasGates && {
        gateRate: scaled(rate, gateSpeed),
      }),
    ...(task.clipNorm !== undefined && { clipNorm: task.clipNorm }),
    ...(task.updates && { updates: task.updates }),
    ...(task.freeze && { freeze: task.freeze }),
    provider: backend,
    threads: 1,
    ...options,
  });
  try {
    await trainer.fit(task.batches(seed)(from), { steps: to - from });
    return await finish(trainer);
  } finally {
    await trainer.dispose();
  }
}

/** Trains all weights without a penalty. */
export async function trainPlainly(context: MethodContext, model: Graph, phase: Phase): Promise<Graph> {
  return trainPhase(context, model, phase, { gate: "none" }, async (trainer) => (await trainer.fold()).graph);
}

/** A schedule times a factor. */
export const scaled = (schedule: Schedule, factor: number): Schedule =>
  typeof schedule === "number" ? factor * schedule : (progress) => factor * schedule(progress);
