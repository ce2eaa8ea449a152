import {
  allMethods,
  comparedTables,
  comparisons,
  quickMethods,
  type Strengths,
} from "../methods/all-methods.ts";
import { type ScoreKind, trainingExperiment } from "../training/training-experiment.ts";
import { charGptTask, shakespeareFile } from "./char-gpt-task.ts";

/** Cross-entropy of the held-out tenth of the text. */
const validationLoss: ScoreKind = {
  name: "validation loss",
  sign: -1,
  scale: 1,
  digits: 4,
  unit: "nats a character",
};

const claim =
  "A GPT of 2 layers, 8 heads and width 64 on tiny Shakespeare, from its first weights: 1,500 steps of Adam, 16 windows of 32 characters each, rate 3e-3 after a warm-up, " +
  "then a cosine to 0, norm of the gradient at most 1, for every method; gates, those of L0 too, have 10 times the rate of the weights. A layer keeps one head and one neuron at least.";

/** A sweep over one kind of groups, or both. */
function gptExperiment(
  name: string,
  title: string,
  gate: readonly ("heads" | "ffn")[],
  strengths: {
    readonly whole: Strengths;
    readonly quick: Strengths;
    readonly sizes: readonly number[];
    readonly quickSizes: readonly number[];
  },
) {
  return trainingExperiment({
    name,
    family: "language",
    title: `Character GPT, ${title}`,
    claim,
    version: 1,
    seeds: 3,
    data: (quick) => (quick ? [] : [shakespeareFile]),
    task: charGptTask(gate),
    score: validationLoss,
    sizes: (quick) => (quick ? strengths.quickSizes : strengths.sizes),
    sweeps: (quick) => (quick ? quickMethods(strengths.quick) : allMethods(strengths.whole)),
    verdicts: (trained) => comparisons(trained, 0.02),
    more: comparedTables,
  });
}

export const gptHeads = gptExperiment("gpt-heads", "attention heads", ["heads"], {
  whole: {
    lambdas: [3e-4, 1e-3, 4e-3],
    upAndDown: [6e-4, 2.5e-3, 1e-2],
    direct: [1e-3, 5e-3, 1.5e-2],
    proximal: [1, 2, 4],
    hardConcrete: [6e-4, 1.5e-3, 5e-3],
    fromScratch: [3e-4, 1e-3, 4e-3],
    fractions: [0.75, 0.4, 0.2],
  },
  sizes: [0.75, 0.5, 0.375, 0.25],
  quick: { lambdas: [1e-3, 3e-3], fractions: [0.75, 0.5, 0.25] },
  quickSizes: [0.7, 0.4],
});

export const gptFfn = gptExperiment("gpt-ffn", "neurons of the feed-forward layers", ["ffn"], {
  whole: {
    lambdas: [3e-6, 3e-5, 3e-4],
    upAndDown: [6e-6, 6e-5, 8e-4],
    direct: [3e-5, 2e-4, 1e-3],
    proximal: [0.1, 0.3, 1],
    hardConcrete: [3e-5, 2e-4, 1e-3],
    fromScratch: [3e-6, 3e-5, 3e-4],
    fractions: [0.6, 0.25, 0.08],
  },
  sizes: [0.5, 0.3, 0.15, 0.08],
  quick: { lambdas: [1e-3, 4e-3], fractions: [0.5, 0.25, 0.1] },
  quickSizes: [0.35, 0.2],
});

export const gptBoth = gptExperiment(
  "gpt-both",
  "heads and neurons of the feed-forward layers",
  ["heads", "ffn"],
  {
    whole: {
      lambdas: [1e-5, 1e-4, 6e-4],
      upAndDown: [2e-5, 2e-4, 1.5e-3],
      direct: [3e-5, 2e-4, 1e-3],
      proximal: [0.1, 0.3, 1],
      hardConcrete: [3e-5, 2e-4, 1e-3],
      fromScratch: [1e-5, 1e-4, 6e-4],
      fractions: [0.6, 0.25, 0.08],
    },
    sizes: [0.5, 0.3, 0.15, 0.08],
    quick: { lambdas: [5e-4, 2e-3], fractions: [0.5, 0.3, 0.15] },
    quickSizes: [0.5, 0.3],
  },
);
