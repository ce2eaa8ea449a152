import { warmupStableDecay } from "@dgate/core";
import { adam, warmupCosine } from "@dgate/onnx/train";
import type { ResultTable, Verdict } from "../experiment.ts";
import { hardConcrete, hardConcreteFaster } from "../methods/hard-concrete.ts";
import { direct, penalised, type PenaltySettings, proximal, upAndDown } from "../methods/penalised.ts";
import type { Method } from "../methods/method.ts";
import { signedMean } from "../report/figures.ts";
import type { TrainedRuns } from "../training/conclude-training.ts";
import { accuracy, trainingExperiment } from "../training/training-experiment.ts";
import { lenetTask } from "../vision/lenet-300-100.ts";
import { mnistFiles } from "../vision/image-data.ts";

const usual = "D-Gating, D = 3, as it is";
const upAndDownName = "λ up over 30 %, down over 30 %";
const upAndDownSuffix = ", λ up and down";

/** √p of LeNet-300-100's groups of 784 and 300 weights, in the mean: λ means the same with and without. */
const meanRoot = (300 * Math.sqrt(784) + 100 * Math.sqrt(300)) / 400;

/** λ up and down over parts of the steps. */
const phases = (warmup: number, decay: number) => (lambda: number) =>
  warmupStableDecay(lambda, { warmup, decay });

const held = warmupCosine(0.1, { warmup: 1 / 16, hold: 0.7 - 1 / 16 });

/** What can be set, one thing at a time. */
const variants: readonly (readonly [name: string, settings: PenaltySettings])[] = [
  [usual, {}],
  ["gates start at one", { initial: "ones" }],
  ["gates a third as fast", { gateRate: (progress) => held(progress) / 3 }],
  ["gates twice as fast", { gateRate: (progress) => held(progress) * 2 }],
  ["λ up over the first 30 %", { anneal: phases(0.3, 0) }],
  ["λ down to 0 over the last 30 %", { anneal: phases(0, 0.3) }],
  [upAndDownName, { anneal: upAndDown }],
  [
    "λ up over 30 %, down over 30 %, last tenth without gates, a tenth of the rate",
    { anneal: phases(0.3, 0.3), tune: 0.1, tuneRate: 0.1 },
  ],
  [
    "λ up over 30 %, last quarter without gates, a tenth of the rate",
    { anneal: phases(0.3, 0), tune: 0.25, tuneRate: 0.1 },
  ],
  ["balanced eight times on the way", { rebalance: 8 }],
  ["groups weighted by √p", { groupWeights: "sqrt-size", anneal: (lambda) => () => lambda / meanRoot }],
  ["last quarter without gates", { tune: 0.25 }],
  ["last quarter without gates, a tenth of the rate", { tune: 0.25, tuneRate: 0.1 }],
  [
    "Adam, rate 1e-3",
    { optimizer: adam(), learningRate: warmupCosine(1e-3, { warmup: 1 / 16, hold: 0.7 - 1 / 16 }) },
  ],
  [
    "Adam, gates ten times as fast",
    {
      optimizer: adam(),
      learningRate: warmupCosine(1e-3, { warmup: 1 / 16, hold: 0.7 - 1 / 16 }),
      gateRate: warmupCosine(1e-2, { warmup: 1 / 16, hold: 0.7 - 1 / 16 }),
    },
  ],
];

const variantMethods: readonly Method[] = variants.map(([name, settings], i) =>
  penalised(name, { depth: 3, ...settings }, { colour: 1 + (i % 9), dashed: i > 8 }),
);

/** What D-Gating is compared with, as it is and with the same λ. */
const others: readonly Method[] = [
  direct(2),
  direct(3),
  ...([2, 3] as const).flatMap((depth) =>
    (["sparse", "proximal"] as const).map((penalty) => {
      const { name, colour } = (penalty === "sparse" ? direct : proximal)(depth);
      return penalised(
        `${name}${upAndDownSuffix}`,
        { depth, penalty, anneal: upAndDown },
        { colour, dashed: true },
      );
    }),
  ),
];

/** L0 as its rates are in other experiments, and with faster gates. */
const hardConcretes: readonly Method[] = [
  hardConcrete,
  hardConcreteFaster(3, 7),
  hardConcreteFaster(10),
  hardConcreteFaster(30, 8),
];

/** Leads over the usual settings at each size. */
function leadsTable(trained: TrainedRuns): ResultTable {
  return {
    title: "Points of accuracy ahead of the usual settings, seed by seed: mean ± standard error",
    header: ["", ...trained.sizes.map((size) => `${Math.round(size * trained.groups)} neurons`)],
    rows: [
      ...variants.slice(1).map(([name]) => name),
      ...[...others, ...hardConcretes].map(({ name }) => name),
    ].map((name) => [
      name,
      ...trained.sizes.map((size) => {
        const [lead] = trained.leads(name, usual, [size]);
        return lead ? signedMean(lead, trained.score.digits) : "–";
      }),
    ]),
  };
}

/** D-Gating against what it is compared with, where λ rises and falls for both. */
function sameLambdaTable(trained: TrainedRuns): ResultTable {
  const same = others.filter(({ name }) => name.endsWith(upAndDownSuffix));
  return {
    title:
      "D-Gating, D = 3, with λ up and down, against the others with that λ: lead in points of accuracy, mean over the sizes ± standard error",
    header: ["against", "lead"],
    rows: same.map(({ name }) => [name, trained.leadCell(upAndDownName, name)]),
  };
}

/** What users ask: which settings matter. */
export const gatingSettings = trainingExperiment({
  name: "gating-settings",
  family: "settings",
  title: "Settings of D-Gating, one at a time",
  claim:
    "LeNet-300-100 on MNIST, neurons, D = 3, 6 epochs: what initialisation, learning rates of the gates, schedules of λ, balancing on the way, weights of the groups, a last part " +
    "without gates and Adam change; with the direct penalties and L0 for comparison.",
  version: 1,
  seeds: 3,
  data: (quick) => (quick ? [] : mnistFiles),
  task: lenetTask("neurons", 6),
  score: accuracy,
  sizes: (quick) => (quick ? [0.6] : [0.3, 0.15, 0.08, 0.055]),
  sweeps: (quick) =>
    quick
      ? variantMethods.slice(0, 2).map((method) => ({ method, strengths: [8e-3, 1.6e-2] }))
      : [
          ...variantMethods.map((method) => ({ method, strengths: [4e-3, 1.2e-2, 3.2e-2] })),
          ...others.map((method) => ({ method, strengths: [2e-3, 6e-3, 2e-2] })),
          ...hardConcretes.map((method) => ({ method, strengths: [1.2e-2, 1.7e-2, 2.4e-2, 4.8e-2] })),
        ],
  verdicts(trained): readonly Verdict[] {
    return [trained.fewerWithLambda([usual]), trained.removalCostsNothing([usual], trained.quick ? 1 : 0.5)];
  },
  more: (trained) => ({
    tables: [leadsTable(trained), ...(trained.quick ? [] : [sameLambdaTable(trained)])],
  }),
});
