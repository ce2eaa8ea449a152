import type { Experiment } from "../experiment.ts";
import { allMethods, quickMethods } from "../methods/all-methods.ts";
import type { Task, TaskOptions } from "../training/task.ts";
import { accuracy } from "../training/training-experiment.ts";
import { graphOf, mlp } from "../vision/networks.ts";
import { additiveNetwork, featureNetworks } from "./additive-network.ts";
import { featureExperiment } from "./feature-experiment.ts";
import { splitTable, tableTask } from "./table-task.ts";
import { wine, wineFiles, wineNames } from "./tables.ts";

/** What both models of Wine have in common. */
const common = {
  version: 1,
  seeds: 5,
  data: () => wineFiles,
  features: wineNames,
  score: accuracy,
  removalCost: 2,
  sizes: (quick: boolean) => (quick ? [8 / 13, 5 / 13] : [10 / 13, 8 / 13, 6 / 13, 4 / 13, 2 / 13]),
} as const;

const fractions = [10 / 13, 8 / 13, 6 / 13, 4 / 13, 2 / 13] as const;

const task =
  (model: Pick<Task, "build" | "gate" | "fanIn">) =>
  ({ quick, seed }: TaskOptions): Task =>
    tableTask({
      ...model,
      data: splitTable(wine(), { target: "class", testPart: 1 / 3, seed }),
      target: "class",
      epochs: quick ? 100 : 200,
      batch: 24,
      rate: 0.05,
    });

export const wineFeatures: Experiment = featureExperiment({
  ...common,
  name: "wine-features",
  title: "UCI Wine, which of 13 measurements tell the cultivar",
  claim:
    "178 wines, a third of each cultivar to test with, drawn by the seed; an MLP 13-32-16-3 whose groups are the input features. SGD with momentum 0.9, rate 0.05, batch 24, 800 steps " +
    "for every method.",
  task: task({ gate: ["inputs"], fanIn: true, build: (seed) => graphOf([13], 3, mlp([32, 16]), seed) }),
  sweeps: (quick) =>
    quick
      ? quickMethods({ lambdas: [3e-3, 5e-2, 0.2], fractions: [8 / 13, 5 / 13] })
      : allMethods({
          lambdas: [3e-3, 1e-2, 4e-2, 0.1, 0.2],
          direct: [3e-3, 1e-2, 4e-2, 0.1, 0.3],
          proximal: [3e-3, 1e-2, 4e-2, 0.1, 0.3],
          groupLasso: [3e-3, 3e-2, 0.2, 0.3, 0.4],
          hardConcrete: [5e-2, 0.1, 0.2, 0.3],
          fastHardConcrete: [1e-2, 3e-2, 0.1, 0.2, 0.3],
          fromScratch: [1e-2, 0.1],
          fractions,
        }),
});

export const wineNam: Experiment = featureExperiment({
  ...common,
  name: "wine-nam",
  title: "UCI Wine, a neural additive model",
  claim:
    "The same wines; for each cultivar the sum of one network 1-16-1 for each feature, hidden units shared, each feature a group with all its kernels: what is removed takes its network out " +
    "of the ONNX graph. All else as for the MLP.",
  task: task({
    gate: featureNetworks(3),
    fanIn: false,
    build: async (seed) => additiveNetwork({ features: 13, hidden: 16, outputs: 3 }, seed),
  }),
  sweeps: (quick) =>
    quick
      ? quickMethods({ lambdas: [3e-3, 3e-2, 0.1], fractions: [8 / 13, 5 / 13] })
      : allMethods({
          lambdas: [3e-3, 8e-3, 1.5e-2, 3e-2, 8e-2],
          groupLasso: [3e-3, 1.5e-2, 4e-2, 0.1, 0.2],
          hardConcrete: [5e-2, 0.1, 0.2, 0.3],
          fastHardConcrete: [1e-2, 3e-2, 0.1, 0.2, 0.3],
          fromScratch: [8e-3, 3e-2],
          fractions,
        }),
});
