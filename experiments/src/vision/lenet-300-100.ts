import type { Verdict } from "../experiment.ts";
import {
  allMethods,
  cuts,
  gatings,
  names,
  penalties,
  quickMethods,
  tunedGatings,
} from "../methods/all-methods.ts";
import { magnitudeAlone } from "../methods/cut-then-tune.ts";
import { fromScratch } from "../methods/from-scratch.ts";
import { hardConcrete } from "../methods/hard-concrete.ts";
import type { TrainedRuns } from "../training/conclude-training.ts";
import type { TaskOptions } from "../training/task.ts";
import { accuracy, trainingExperiment } from "../training/training-experiment.ts";
import { drawnDigits, mnist, mnistFiles } from "./image-data.ts";
import { imageTask } from "./image-task.ts";
import { graphOf, mlp } from "./networks.ts";

/** LeNet-300-100: on MNIST, quickly a smaller one on drawn digits. */
function lenet(site: "neurons" | "inputs", epochs: number) {
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

/** What both sweeps are said to show; the comparisons only of the whole one. */
function verdictsOf(trained: TrainedRuns): readonly Verdict[] {
  const ours = names(gatings);
  const own = trained.quick ? ["D-Gating, D = 3"] : ours;
  const common = [
    trained.fewerWithLambda(own),
    trained.removalCostsNothing(own, trained.quick ? 1 : 0.5),
    trained.ahead("D-Gating is ahead of cutting by magnitude at the end", own, [magnitudeAlone.name]),
  ];
  if (trained.quick) return common;
  return [
    ...common,
    trained.ahead("D-Gating is ahead of the penalties without gates", ours, names(penalties)),
    trained.ahead("with fine-tuning it is", names(tunedGatings), names(penalties)),
    trained.ahead("D-Gating is ahead of cutting and fine-tuning", ours, names(cuts)),
    trained.ahead("with fine-tuning it is", names(tunedGatings), names(cuts)),
    trained.ahead("D-Gating is ahead of L0 by hard-concrete gates", ours, [hardConcrete.name]),
    trained.ahead("D-Gating is ahead of its own widths from scratch", ours, [fromScratch.name]),
  ];
}

export const lenetNeurons = trainingExperiment({
  name: "lenet-300-100-neurons",
  family: "vision",
  title: "LeNet-300-100 on MNIST, neurons",
  claim:
    "Neurons of both hidden layers as groups. SGD with momentum 0.9, rate 0.1 held for 70 % of the steps, batch 128, 8 epochs for every method; what is fine-tuned has its steps " +
    "from these. Nothing but the strength differs between the points of a method.",
  version: 1,
  seeds: 3,
  data: (quick) => (quick ? [] : mnistFiles),
  task: lenet("neurons", 8),
  score: accuracy,
  sizes: (quick) => (quick ? [0.6, 0.4] : [0.45, 0.3, 0.2, 0.12, 0.08]),
  sweeps: (quick) =>
    quick
      ? quickMethods({ lambdas: [8e-3, 1.6e-2], fractions: [0.6, 0.3, 0.15] })
      : allMethods({
          lambdas: [1.5e-3, 3e-3, 6e-3, 1.5e-2],
          hardConcrete: [5e-3, 1e-2, 2e-2, 4e-2],
          fromScratch: [1.5e-3, 6e-3, 1.5e-2],
          fractions: [0.5, 0.3, 0.16, 0.08],
        }),
  verdicts: verdictsOf,
});

export const lenetPixels = trainingExperiment({
  name: "lenet-300-100-pixels",
  family: "vision",
  title: "LeNet-300-100 on MNIST, input pixels",
  claim:
    "The 784 pixels as groups, each with its row of the first kernel; 6 epochs, all else as for the neurons.",
  version: 1,
  seeds: 3,
  data: (quick) => (quick ? [] : mnistFiles),
  task: lenet("inputs", 6),
  score: accuracy,
  sizes: (quick) => (quick ? [0.4, 0.25] : [0.5, 0.33, 0.2, 0.12, 0.06]),
  sweeps: (quick) =>
    quick
      ? quickMethods({ lambdas: [6e-3, 1.2e-2], fractions: [0.6, 0.3, 0.15] })
      : allMethods({
          lambdas: [1e-3, 3e-3, 1e-2],
          hardConcrete: [3e-3, 1e-2, 3e-2],
          fromScratch: [1e-3, 1e-2],
          fractions: [0.5, 0.25, 0.1],
        }),
  verdicts: verdictsOf,
});
