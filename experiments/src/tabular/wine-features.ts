import { allMethods, quickMethods } from "../methods/all-methods.ts";
import { accuracy } from "../training/training-experiment.ts";
import { graphOf, mlp } from "../vision/networks.ts";
import { featureExperiment } from "./feature-experiment.ts";
import { splitTable, tableTask } from "./table-task.ts";
import { wine, wineFiles, wineNames } from "./tables.ts";

export const wineFeatures = featureExperiment({
  name: "wine-features",
  title: "UCI Wine, which of 13 measurements tell the cultivar",
  claim:
    "178 wines, a third of each cultivar to test with, drawn by the seed; an MLP 13-32-16-3 whose groups are the input features. SGD with momentum 0.9, rate 0.05, batch 24, 800 steps " +
    "for every method.",
  version: 1,
  seeds: 5,
  data: () => wineFiles,
  features: wineNames,
  task: ({ quick, seed }) =>
    tableTask({
      data: splitTable(wine(), { target: "class", testPart: 1 / 3, seed }),
      target: "class",
      gate: ["inputs"],
      fanIn: true,
      build: (own) => graphOf([13], 3, mlp([32, 16]), own),
      epochs: quick ? 100 : 200,
      batch: 24,
      rate: 0.05,
    }),
  score: accuracy,
  removalCost: 2,
  sizes: (quick) => (quick ? [8 / 13, 5 / 13] : [10 / 13, 8 / 13, 6 / 13, 4 / 13, 2 / 13]),
  sweeps: (quick) =>
    quick
      ? quickMethods({ lambdas: [3e-3, 5e-2, 0.2], fractions: [8 / 13, 5 / 13] })
      : allMethods({
          lambdas: [3e-3, 1e-2, 4e-2, 0.1, 0.2],
          direct: [3e-3, 1e-2, 4e-2, 0.1, 0.3],
          proximal: [3e-3, 1e-2, 4e-2, 0.1, 0.3],
          groupLasso: [3e-3, 3e-2, 0.2, 0.3, 0.4],
          hardConcrete: [5e-2, 0.1, 0.2, 0.3],
          fromScratch: [1e-2, 0.1],
          fractions: [10 / 13, 8 / 13, 6 / 13, 4 / 13, 2 / 13],
        }),
});
