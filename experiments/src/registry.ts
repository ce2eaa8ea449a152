import { DgateError } from "@dgate/core";
import { stepCost } from "./cost/step-cost.ts";
import type { Experiment } from "./experiment.ts";
import { bertMiniFfn, bertMiniHeads } from "./language/bert-mini.ts";
import { gptBoth, gptFfn, gptHeads } from "./language/gpt.ts";
import { gatingSettings } from "./settings/gating-settings.ts";
import { knownFeatures } from "./tabular/known-features.ts";
import { wineFeatures, wineNam } from "./tabular/wine-features.ts";
import { wineQualityFeatures, wineQualityNam } from "./tabular/wine-quality.ts";
import { directNeverZero } from "./theory/direct-subgradient.ts";
import { discreteIdentity } from "./theory/discrete-identity.ts";
import { groupLassoPath } from "./theory/group-lasso-path.ts";
import { imbalanceDecay } from "./theory/imbalance-decay.ts";
import { sparseObjectives } from "./theory/sparse-objectives.ts";
import { twoPhases } from "./theory/two-phases.ts";
import { cifarLenet5, cifarResnet, cifarVgg } from "./vision/cifar10.ts";
import { lenetNeurons, lenetPixels } from "./vision/lenet-300-100.ts";

/** All experiments, in the order of the report. */
export const experiments: readonly Experiment[] = [
  groupLassoPath,
  sparseObjectives,
  imbalanceDecay,
  discreteIdentity,
  twoPhases,
  directNeverZero,
  lenetNeurons,
  lenetPixels,
  cifarLenet5,
  cifarVgg,
  cifarResnet,
  gptHeads,
  gptFfn,
  gptBoth,
  bertMiniHeads,
  bertMiniFfn,
  gatingSettings,
  wineFeatures,
  wineNam,
  wineQualityFeatures,
  wineQualityNam,
  knownFeatures,
  stepCost,
];

/**
 * The experiment of a name.
 *
 * @throws DgateError `OPTION` with the names that there are
 */
export function findExperiment(name: string): Experiment {
  const found = experiments.find((experiment) => experiment.name === name);
  return found ?? unknown(name);
}

/**
 * The experiments that a command means: one by its name, or those of a family.
 *
 * @throws DgateError `OPTION` with the names that there are
 */
export function chooseExperiments(name: string): readonly Experiment[] {
  const family = experiments.filter((experiment) => experiment.family === name);
  return family.length > 0 ? family : [findExperiment(name)];
}

function unknown(name: string): never {
  const families = [...new Set(experiments.map(({ family }) => family))];
  throw new DgateError(
    "OPTION",
    `there is no "${name}"; families are ${families.join(", ")}, experiments ${experiments.map((each) => each.name).join(", ")}.`,
  );
}
