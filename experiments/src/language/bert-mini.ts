import { allMethods, comparedTables, comparisons, type Strengths } from "../methods/all-methods.ts";
import { gating } from "../methods/penalised.ts";
import { accuracy, trainingExperiment } from "../training/training-experiment.ts";
import { bertMiniTask } from "./bert-mini-task.ts";
import { sentenceFiles } from "./sentences.ts";

const ours = gating(3);

/** A sweep over one kind of groups of the trained model. */
function bertMiniExperiment(kind: "heads" | "ffn", title: string, strengths: Strengths) {
  return trainingExperiment({
    name: `bert-mini-${kind}`,
    family: "language",
    title: `bert-mini on SST-2, ${title}`,
    claim:
      "A trained BERT of 4 layers, 8 heads and width 256, fine-tuned for 150 steps of Adam with 16 sentences each, rate 4e-4 after a warm-up, then a cosine to 0, by every method; " +
      "gates, those of L0 too, have 200 times the rate of the weights. What is cut is cut after half of the steps. Accuracy on the 872 sentences of GLUE's development set.",
    version: 1,
    seeds: 3,
    data: (quick) => (quick ? [] : Object.values(sentenceFiles)),
    task: bertMiniTask(kind),
    score: { ...accuracy, name: "development accuracy" },
    sizes: () => [0.75, 0.5, 0.25],
    // Widths from scratch are not for a model that comes trained.
    sweeps: (quick) =>
      quick ? [{ method: ours, strengths: [1e-3, 1e-2] }] : allMethods({ ...strengths, fromScratch: [] }),
    // The few words of the quick form are told right by next to nothing: there is no lead to show.
    verdicts: (trained) =>
      trained.quick
        ? [trained.fewerWithLambda([ours.name]), trained.removalCostsNothing([ours.name], 2)]
        : comparisons(trained, 2),
    more: comparedTables,
  });
}

export const bertMiniHeads = bertMiniExperiment("heads", "attention heads", {
  lambdas: [1e-3, 3e-3, 1e-2],
  upAndDown: [2e-3, 6e-3, 2.5e-2],
  direct: [0.2, 1, 5],
  proximal: [95, 110, 150],
  hardConcrete: [4e-3, 1.2e-2, 4e-2],
  fractions: [0.75, 0.5, 0.25],
});

export const bertMiniFfn = bertMiniExperiment("ffn", "neurons of the feed-forward layers", {
  lambdas: [5e-6, 2e-5, 1e-4],
  upAndDown: [1e-5, 4e-5, 2.5e-4],
  direct: [1e-4, 5e-4, 3e-3],
  proximal: [6, 9, 13],
  hardConcrete: [2e-5, 1e-4, 4e-4],
  fractions: [0.75, 0.5, 0.25],
});
