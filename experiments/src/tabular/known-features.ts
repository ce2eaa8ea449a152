import type { Conclusion, Experiment, Verdict } from "../experiment.ts";
import { allMethods, comparedTables } from "../methods/all-methods.ts";
import { magnitudeAlone } from "../methods/cut-then-tune.ts";
import { gating, gatingUpAndDown } from "../methods/penalised.ts";
import { mean } from "../report/figures.ts";
import type { LineChart } from "../report/line-chart.ts";
import type { TrainedRuns } from "../training/conclude-training.ts";
import { type MethodSweep, trainingExperiment } from "../training/training-experiment.ts";
import { graphOf, mlp } from "../vision/networks.ts";
import { keptFeatures, type Recovery, recoveryOf } from "./feature-sets.ts";
import { featureCount, knownTruth, truth } from "./known-truth.ts";
import { tableTask } from "./table-task.ts";

const [two, three, four] = [gating(2).name, gating(3).name, gating(4).name];
const upAndDown = gatingUpAndDown(3).name;

const sweeps = (quick: boolean): readonly MethodSweep[] =>
  quick
    ? [
        { method: gating(3), strengths: [5e-3, 2e-2, 4e-2] },
        { method: magnitudeAlone, strengths: [0.5, 0.15] },
      ]
    : allMethods({
        lambdas: [3e-3, 1e-2, 2e-2, 4e-2, 0.1],
        groupLasso: [1e-2, 3e-2, 0.1, 0.2, 0.3],
        hardConcrete: [3e-2, 4e-2, 6e-2, 0.15],
        fastHardConcrete: [5e-3, 1e-2, 2e-2, 4e-2, 8e-2],
        fromScratch: [1e-2, 4e-2],
        fractions: [0.5, 0.3, 0.2, 0.15, 0.1],
      });

export const knownFeatures: Experiment = trainingExperiment({
  name: "known-features",
  family: "tabular",
  title: "Six of 40 features matter, and it is known which",
  claim:
    "A drawn problem for each seed: six features, three of which are seen in products alone, six that are correlated with these, 28 of noise; an MLP 40-32-16-1 whose groups are the input " +
    "features, squared error. SGD with momentum 0.9, rate 0.05, batch 50, 1,600 steps for every method. The methods that take a fraction are told the true number (0.15 of 40).",
  version: 1,
  seeds: 5,
  task: ({ quick, seed }) =>
    tableTask({
      data: knownTruth(seed, quick ? 1000 : 2000, 1000),
      target: "number",
      gate: ["inputs"],
      fanIn: true,
      build: (own) => graphOf([featureCount], 1, mlp([32, 16]), own),
      epochs: 40,
      batch: 50,
      rate: 0.05,
    }),
  score: { name: "test RMSE", sign: -1, scale: 1, digits: 3, unit: "deviations of the target" },
  sizes: (quick) => (quick ? [0.5, 0.15] : [0.5, 0.3, 0.2, 0.15]),
  sweeps,
  verdicts: verdictsOf,
  more: (trained) => ({
    tables: [...comparedTables(trained).tables, recoveryTable(trained)],
    charts: recoveryCharts(trained),
  }),
});

/** What a method finds at a strength, seed by seed. */
interface Found {
  readonly strength: number;
  readonly kept: number;
  readonly precision: number;
  readonly recall: number;
  /** Part of the seeds in which the six are found, and nothing else. */
  readonly exact: number;
}

function foundBy(trained: TrainedRuns, method: string): readonly Found[] {
  const points = trained.points(method);
  const strengths = [...new Set(points.map(({ strength }) => strength))].sort((a, b) => a - b);
  return strengths.map((strength) => {
    const own = points.filter((point) => point.strength === strength);
    const recoveries = own.map((point) => recoveryOf(keptFeatures(point), truth));
    const of = (value: (recovery: Recovery) => number): number => mean(recoveries.map(value));
    return {
      strength,
      kept: mean(own.map(({ groups }) => groups)),
      precision: of(({ precision }) => precision),
      recall: of(({ recall }) => recall),
      exact: of(({ exact }) => Number(exact)),
    };
  });
}

const harmonicMean = ({ precision, recall }: Found): number =>
  precision + recall === 0 ? 0 : (2 * precision * recall) / (precision + recall);

const percent = (part: number): string => `${Math.round(100 * part)} %`;

/** The strength at which a method finds the six most often; of equals the one with the best harmonic mean of precision and recall. */
const bestOf = (found: readonly Found[]): Found =>
  found.toSorted((a, b) => b.exact - a.exact || harmonicMean(b) - harmonicMean(a))[0]!;

function verdictsOf(trained: TrainedRuns): readonly Verdict[] {
  const ours = trained.quick ? [three] : [two, three, four];
  const common = [
    trained.fewerWithLambda(ours),
    trained.removalCostsNothing(ours, 0.02),
    finds(trained, three),
  ];
  return trained.quick ? common : [...common, finds(trained, four), finds(trained, upAndDown)];
}

/** That a λ is there at which a method leaves the six features and next to nothing else. */
function finds(trained: TrainedRuns, method: string): Verdict {
  const { strength, precision, recall, exact } = bestOf(foundBy(trained, method));
  return {
    claim: `${method} finds the features that matter`,
    holds: recall >= 0.9 && precision >= 0.75,
    figure: `λ = ${strength}: recall ${recall.toFixed(2)}, precision ${precision.toFixed(2)}, exactly in ${percent(exact)} of the seeds`,
  };
}

function recoveryTable(trained: TrainedRuns): NonNullable<Conclusion["tables"]>[number] {
  return {
    title: `Features found, each method at the strength of its own at which it finds the six most often (${trained.seeds.length} seeds)`,
    header: [
      "",
      "λ or fraction",
      "kept",
      "precision",
      "recall",
      "exactly the six",
      "strengths with that in most seeds",
    ],
    rows: sweeps(trained.quick).map(({ method: { name } }) => {
      const found = foundBy(trained, name);
      const { strength, kept, precision, recall, exact } = bestOf(found);
      return [
        name,
        String(strength),
        kept.toFixed(1),
        precision.toFixed(2),
        recall.toFixed(2),
        percent(exact),
        `${found.filter((each) => each.exact > 0.5).length} of ${found.length}`,
      ];
    }),
  };
}

function recoveryCharts(trained: TrainedRuns): readonly LineChart[] {
  const methods = sweeps(trained.quick).filter(({ method }) => method.strength === "lambda");
  const chart = (title: string, caption: string, value: (found: Found) => number): LineChart => ({
    title,
    caption: `${caption}; means over ${trained.seeds.length} seeds.`,
    x: { name: "λ", log: true },
    y: { name: title, min: 0, max: 1 },
    series: methods.map(({ method: { name, colour, dashed } }) => ({
      name,
      colour,
      dashed: dashed ?? false,
      dots: true,
      points: foundBy(trained, name).map((found) => [found.strength, value(found)] as const),
    })),
  });
  return [
    chart("precision", "Part of the kept features that matter", ({ precision }) => precision),
    chart("recall", "Part of the features that matter that are kept", ({ recall }) => recall),
    chart("exact recovery", "Part of the seeds in which exactly the six are kept", ({ exact }) => exact),
  ];
}
