import type { Experiment } from "../experiment.ts";
import { allMethods, quickMethods } from "../methods/all-methods.ts";
import type { Task, TaskOptions } from "../training/task.ts";
import type { ScoreKind } from "../training/training-experiment.ts";
import { graphOf, mlp } from "../vision/networks.ts";
import { additiveNetwork, featureNetworks } from "./additive-network.ts";
import { featureExperiment } from "./feature-experiment.ts";
import { splitTable, tableTask } from "./table-task.ts";
import { wineQuality, wineQualityFiles, wineQualityNames } from "./tables.ts";

const error: ScoreKind = { name: "test RMSE", sign: -1, scale: 1, digits: 3, unit: "points of quality" };

/** What both models of Wine Quality have in common. */
const common = {
  version: 1,
  seeds: 5,
  data: () => wineQualityFiles,
  features: wineQualityNames,
  score: error,
  removalCost: 0.01,
  sizes: (quick: boolean) => (quick ? [8 / 12, 4 / 12] : [9 / 12, 7 / 12, 5 / 12, 3 / 12, 2 / 12]),
} as const;

const fractions = [9 / 12, 7 / 12, 5 / 12, 3 / 12, 2 / 12] as const;

const task =
  (model: Pick<Task, "build" | "gate" | "fanIn">, rate: number) =>
  ({ quick, seed }: TaskOptions): Task =>
    tableTask({
      ...model,
      data: splitTable(wineQuality(), { target: "number", testPart: 0.25, seed }),
      target: "number",
      epochs: quick ? 12 : 40,
      batch: 128,
      rate,
    });

export const wineQualityFeatures: Experiment = featureExperiment({
  ...common,
  name: "wine-quality-features",
  title: "Wine Quality, which of 12 measurements tell it",
  claim:
    "5,320 different red and white wines, a quarter of each quality to test with, drawn by the seed; the colour is the twelfth feature. An MLP 12-32-16-1 whose groups are the input " +
    "features; squared error. SGD with momentum 0.9, rate 0.05, batch 128, 40 epochs for every method.",
  task: task({ gate: ["inputs"], fanIn: true, build: (seed) => graphOf([12], 1, mlp([32, 16]), seed) }, 0.05),
  sweeps: (quick) =>
    quick
      ? quickMethods({ lambdas: [5e-3, 5e-2, 0.2], fractions: [8 / 12, 4 / 12] })
      : allMethods({
          lambdas: [5e-3, 1.5e-2, 2.5e-2, 4e-2, 0.1],
          groupLasso: [1e-2, 3e-2, 0.1, 0.2, 0.4],
          hardConcrete: [6e-2, 8e-2, 0.1, 0.16],
          fastHardConcrete: [1e-2, 3e-2, 6e-2, 0.1, 0.16],
          fromScratch: [1.5e-2, 0.1],
          fractions,
        }),
});

export const wineQualityNam: Experiment = featureExperiment({
  ...common,
  name: "wine-quality-nam",
  title: "Wine Quality, a neural additive model",
  claim:
    "The same wines; the sum of one network 1-16-1 for each feature, each a group with all its kernels: what is removed takes its network out of the ONNX graph. Rate 0.04, all else as " +
    "for the MLP.",
  task: task(
    {
      gate: featureNetworks(1),
      fanIn: false,
      build: async (seed) => additiveNetwork({ features: 12, hidden: 16, outputs: 1 }, seed),
    },
    0.04,
  ),
  sweeps: (quick) =>
    quick
      ? quickMethods({ lambdas: [2e-3, 2e-2, 0.1], fractions: [8 / 12, 4 / 12] })
      : allMethods({
          lambdas: [2e-3, 5e-3, 1.2e-2, 2e-2, 5e-2],
          hardConcrete: [6e-2, 8e-2, 0.1, 0.16],
          fastHardConcrete: [1e-2, 3e-2, 6e-2, 0.1, 0.16],
          fromScratch: [1.2e-2, 5e-2],
          fractions,
        }),
});
