import { randomGenerator } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import {
  gate,
  learningRateSchedule,
  holdThenCosine,
  sparsityMonitor,
  targetSparsity,
  train,
} from "../../src/index.ts";
import { checkpoint, resume } from "../../src/node.ts";

/** One training that a test interrupts: model with dropout, stateful callbacks, checkpoints in mid-epoch. */
export interface RunOptions {
  readonly directory: string;
  readonly optimizer: "momentum" | "adam";
  readonly continued: boolean;
  readonly signal?: AbortSignal;
  /** Called after every step. */
  readonly onStep?: (epoch: number, batch: number) => void | Promise<void>;
}

export const epochs = 4;

function init(seed: number): ReturnType<typeof tf.initializers.glorotNormal> {
  return tf.initializers.glorotNormal({ seed });
}

function makeModel(optimizer: RunOptions["optimizer"]): tf.LayersModel {
  const model = tf.sequential({
    layers: [
      tf.layers.dense({
        units: 12,
        activation: "relu",
        inputShape: [6],
        kernelInitializer: init(1),
        name: "a",
      }),
      tf.layers.dropout({ rate: 0.2 }),
      tf.layers.dense({ units: 8, activation: "tanh", kernelInitializer: init(2), name: "b" }),
      tf.layers.dense({ units: 1, kernelInitializer: init(3), name: "out" }),
    ],
  });
  const gated = gate(model, { depth: 3, lambda: 1e-3 });
  gated.compile({
    optimizer: optimizer === "adam" ? tf.train.adam(0.01) : tf.train.momentum(0.05, 0.9),
    loss: "meanSquaredError",
  });
  return gated;
}

/** Trains, or continues, and returns every weight. */
export async function trainingRun(options: RunOptions): Promise<number[][]> {
  const { directory, optimizer, continued, signal, onStep } = options;
  // Bit for bit is promised on the cpu backend; child processes know nothing of DGATE_BACKEND.
  await tf.setBackend("cpu");
  const random = randomGenerator(3);
  const x = tf.tensor2d(Array.from({ length: 60 }, () => Array.from({ length: 6 }, () => random.normal())));
  const y = tf.tidy(() => tf.sum(x.slice([0, 0], [60, 2]), 1, true));
  const gated = makeModel(optimizer);
  const monitor = sparsityMonitor({ print: false });
  const target = targetSparsity({ target: 0.5, lambda: 1e-3 });
  const save = checkpoint({ directory, every: { batches: 2 }, include: [monitor, target] });
  const start = continued ? await resume(gated, directory, { include: [monitor, target] }) : undefined;
  let epoch = start?.epoch ?? 0;
  const steps = {
    onEpochBegin: (now: number): void => {
      epoch = now;
    },
    onBatchEnd: (batch: number): void | Promise<void> => onStep?.(epoch, batch),
  };
  const rates = learningRateSchedule(holdThenCosine(0.05, { hold: 0.5 }));
  await train(gated, {
    x,
    y,
    epochs,
    batchSize: 7,
    seed: 11,
    callbacks: [save, monitor, target, rates, steps],
    ...(start ? { start } : {}),
    ...(signal ? { signal } : {}),
  });
  // The initial measurement and one per epoch, whether interrupted or not.
  if (monitor.records.length !== epochs + 1) throw new Error(`${monitor.records.length} records`);
  return gated.getWeights().map((weight) => [...weight.dataSync()]);
}
