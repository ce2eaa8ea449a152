import { allMethods, comparedTables, comparisons, quickMethods } from "../methods/all-methods.ts";
import type { TaskOptions } from "../training/task.ts";
import { accuracy, trainingExperiment } from "../training/training-experiment.ts";
import { drawnDigits, mnist, mnistFiles } from "./image-data.ts";
import { imageTask } from "./image-task.ts";
import { graphOf, mlp } from "./networks.ts";

/** LeNet-300-100: on MNIST, quickly a smaller one on drawn digits. */
export function lenetTask(site: "neurons" | "inputs", epochs: number) {
  return ({ quick }: TaskOptions) =>
    imageTask({
      data: quick ? drawnDigits(1500, 500) : mnist(),
      flat: true,
      gate: [site],
      build: (seed) => graphOf([784], 10, mlp(quick ? [60, 30] : [300, 100]), seed),
      epochs: quick ? 16 : epochs,
      batch: quick ? 50 : 128,
      rate: 0.1,
    });
}

export const lenetNeurons = trainingExperiment({
  name: "lenet-300-100-neurons",
  family: "vision",
  title: "LeNet-300-100 on MNIST, neurons",
  claim:
    "Neurons of both hidden layers as groups. SGD with momentum 0.9, rate 0.1 held for 70 % of the steps, batch 128, 6 epochs for every method; what is fine-tuned has its steps " +
    "from these. Nothing but the strength differs between the points of a method.",
  version: 1,
  seeds: 3,
  data: (quick) => (quick ? [] : mnistFiles),
  task: lenetTask("neurons", 6),
  score: accuracy,
  sizes: (quick) => (quick ? [0.6, 0.4] : [0.45, 0.3, 0.2, 0.12, 0.08]),
  sweeps: (quick) =>
    quick
      ? quickMethods({ lambdas: [8e-3, 1.6e-2], fractions: [0.6, 0.3, 0.15] })
      : allMethods({
          lambdas: [2e-3, 4e-3, 8e-3, 1.6e-2],
          fastGates: [1e-3, 2.5e-3, 6e-3],
          hardConcrete: [6e-3, 1.2e-2, 1.7e-2, 2.4e-2, 4.8e-2],
          fastHardConcrete: [2e-3, 3.5e-3, 7e-3, 1.5e-2],
          fromScratch: [2e-3, 6e-3, 1.6e-2],
          fractions: [0.5, 0.3, 0.16, 0.08],
        }),
  verdicts: comparisons,
  more: comparedTables,
});

export const lenetPixels = trainingExperiment({
  name: "lenet-300-100-pixels",
  family: "vision",
  title: "LeNet-300-100 on MNIST, input pixels",
  claim:
    "The 784 pixels as groups, each with its row of the first kernel; 4 epochs, all else as for the neurons.",
  version: 1,
  seeds: 3,
  data: (quick) => (quick ? [] : mnistFiles),
  task: lenetTask("inputs", 4),
  score: accuracy,
  sizes: (quick) => (quick ? [0.4, 0.25] : [0.5, 0.33, 0.2, 0.12, 0.06]),
  sweeps: (quick) =>
    quick
      ? quickMethods({ lambdas: [6e-3, 1.2e-2], fractions: [0.6, 0.3, 0.15] })
      : allMethods({
          lambdas: [3e-3, 7e-3, 1.6e-2],
          fastGates: [7e-4, 1.5e-3, 4e-3, 6e-3],
          hardConcrete: [6e-3, 1.5e-2, 2.2e-2, 4e-2],
          fastHardConcrete: [2e-3, 3e-3, 4.5e-3, 8e-3],
          fromScratch: [3e-3, 7e-3, 1.6e-2],
          fractions: [0.5, 0.25, 0.1],
        }),
  verdicts: comparisons,
  more: comparedTables,
});
