import type { Experiment, ResultTable, Verdict } from "../experiment.ts";
import { comparedTables, comparisons } from "../methods/all-methods.ts";
import { magnitudeAlone, random } from "../methods/cut-then-tune.ts";
import { gating } from "../methods/penalised.ts";
import { mean } from "../report/figures.ts";
import type { TrainedRuns } from "../training/conclude-training.ts";
import { type TrainingExperiment, trainingExperiment } from "../training/training-experiment.ts";
import { type FeatureSet, keptFeatures, setNear, stabilityOf } from "./feature-sets.ts";

/** An experiment of which the groups are the features of a table. */
interface FeatureExperiment extends Omit<TrainingExperiment, "family" | "verdicts" | "more"> {
  /** Of the features. */
  readonly features: readonly string[];
  /** How much the removal of dead features may cost, in the unit that scores are shown in. */
  readonly removalCost: number;
}

/** Compares methods on a table, how well the features that they leave do and how much they depend on the seed. */
export function featureExperiment({ features, removalCost, ...definition }: FeatureExperiment): Experiment {
  return trainingExperiment({
    ...definition,
    family: "tabular",
    verdicts: (trained) => verdictsOf(trained, removalCost),
    more: (trained) => ({
      tables: [
        ...comparedTables(trained).tables,
        stabilityTable(
          trained,
          definition.sweeps(trained.quick).map(({ method }) => method.name),
        ),
        chosenTable(trained, features),
      ],
    }),
  });
}

const shown = gating(3).name;

function verdictsOf(trained: TrainedRuns, removalCost: number): readonly Verdict[] {
  if (trained.quick)
    return [trained.fewerWithLambda([shown]), trained.removalCostsNothing([shown], removalCost)];
  return [
    ...comparisons(trained, removalCost),
    steadier(trained, random.name),
    steadier(trained, magnitudeAlone.name),
  ];
}

/** For each seed the model of a method whose number of features is nearest to a size; empty if one of them is far off. */
function setsAt(trained: TrainedRuns, method: string, fraction: number): readonly FeatureSet[] {
  const found = trained.seeds.map((seed) =>
    setNear(trained.points(method, seed).map(keptFeatures), fraction * trained.groups),
  );
  return found.every((each) => each !== undefined) ? found : [];
}

/** That D = 3 leaves features that depend less on the seed than those of another method, in the mean over the sizes that both reach. */
function steadier(trained: TrainedRuns, other: string): Verdict {
  const claim = `${shown} chooses the same features with other seeds more than "${other}" does`;
  const pairs = trained.sizes.flatMap((size) => {
    const [own, theirs] = [shown, other].map((method) =>
      stabilityOf(setsAt(trained, method, size), trained.groups),
    );
    return own === undefined || theirs === undefined ? [] : [[own, theirs] as const];
  });
  if (pairs.length === 0) return { claim, holds: false, figure: "they meet at no size" };
  const [own, theirs] = [mean(pairs.map(([a]) => a)), mean(pairs.map(([, b]) => b))];
  return {
    claim,
    holds: own > theirs,
    figure: `stability ${own.toFixed(2)} against ${theirs.toFixed(2)} in the mean of ${pairs.length} sizes (1: always the same, 0: as by chance)`,
  };
}

function stabilityTable(trained: TrainedRuns, methods: readonly string[]): ResultTable {
  return {
    title:
      "Stability of the kept features over seeds (initial weights, split and order all differ; Nogueira et al. 2018: 1 always the same, 0 as by chance), of the models nearest to a " +
      "number of features; in brackets the mean number that they have",
    header: ["", ...trained.sizes.map((size) => String(Math.round(size * trained.groups)))],
    rows: methods.map((method) => [
      method,
      ...trained.sizes.map((size) => {
        const sets = setsAt(trained, method, size);
        const stability = stabilityOf(sets, trained.groups);
        return stability === undefined
          ? "–"
          : `${stability.toFixed(2)} (${mean(sets.map(({ length }) => length)).toFixed(1)})`;
      }),
    ]),
  };
}

/** What D = 3 keeps at each λ. */
function chosenTable(trained: TrainedRuns, features: readonly string[]): ResultTable {
  const points = trained.points(shown);
  const strengths = [...new Set(points.map(({ strength }) => strength))].sort((a, b) => a - b);
  return {
    title: `Features that ${shown} keeps, by the number of seeds`,
    header: ["λ", "features kept", "in all seeds", "in most seeds"],
    rows: strengths.map((strength) => {
      const sets = points.filter((point) => point.strength === strength).map(keptFeatures);
      const counts = features.map((_, j) => sets.filter((set) => set.includes(j)).length);
      const named = (wanted: (count: number) => boolean): string => {
        const found = features.filter((_, j) => wanted(counts[j]!));
        return found.length === features.length ? "all" : found.join(", ") || "–";
      };
      return [
        String(strength),
        mean(sets.map(({ length }) => length)).toFixed(1),
        named((count) => count === sets.length),
        named((count) => count < sets.length && count > sets.length / 2),
      ];
    }),
  };
}
