import { describeBackend, type SiteKind, useBackend } from "@dgate/tfjs";
import * as tf from "@tensorflow/tfjs";
import { loadTask } from "../data/load-task.ts";
import type { Task } from "../data/task.ts";
import type { Context } from "../io/context.ts";
import { architecture, inputShape } from "./architectures.ts";
import type { TrainSettings } from "./document.ts";
import type { TrainRequest } from "./request.ts";

/** What the stages of a training share. */
export interface Session {
  readonly request: TrainRequest;
  readonly context: Context;
  readonly task: Task;
  /** Shape of one input as the network sees it. */
  readonly shape: readonly number[];
  readonly sites: readonly SiteKind[];
  /** The training data on the backend. */
  readonly x: tf.Tensor;
  readonly y: tf.Tensor;
  readonly backend: string;
  readonly backendDetails: string;
}

/** Chooses the backend, loads the data and checks the request against both. */
export async function openSession(request: TrainRequest, context: Context): Promise<Session> {
  const arch = architecture(request.arch);
  const { progress, signal } = context;
  const task = await loadTask({ ...request, progress, signal });
  const shape = inputShape(arch, task, request.arch);
  // Without this tfjs prints advice on stderr, such as to install tfjs-node.
  tf.enableProdMode();
  const choice = await useBackend(request.backend);
  progress.line(`tfjs backend ${choice.backend} (${choice.device})`);
  if (request.verbose) for (const { name, reason } of choice.tried) progress.line(`not ${name}: ${reason}`);
  progress.line(`${task.name}: ${task.train.count} examples to train on, ${task.test.count} to test`);
  const x = tf.tensor(task.train.x, [task.train.count, ...shape]);
  const y = tf.tidy(() => targetsOf(task));
  const sites = request.sites ?? arch.sites;
  const { backend } = choice;
  return { request, context, task, shape, sites, x, y, backend, backendDetails: describeBackend(choice) };
}

/** Labels one-hot, targets of a regression as a column. */
function targetsOf({ kind, train, outputs }: Task): tf.Tensor {
  if (kind === "regression") return tf.tensor2d(train.y, [train.count, 1]);
  return tf.oneHot(tf.tensor1d(Int32Array.from(train.y), "int32"), outputs).toFloat();
}

/** The settings that decide the outcome, for the document and to recognise a checkpoint. */
export function settingsOf({ request, task, sites }: Session): TrainSettings {
  const { data, target, arch, method, depth, lambda, epochs, batch, lr, momentum, optimizer } = request;
  const { lambdaSchedule, warmup, initialisation, threshold, seed } = request;
  return {
    data,
    target: target ?? null,
    arch,
    method,
    depth,
    lambda,
    lambdaSchedule,
    sites,
    epochs,
    batch,
    lr,
    momentum,
    optimizer,
    warmup,
    initialisation,
    threshold,
    seed,
    trainSize: task.train.count,
    testSize: task.test.count,
  };
}
