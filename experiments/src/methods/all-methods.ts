import type { Conclusion, ResultTable, Verdict } from "../experiment.ts";
import { significant } from "../report/figures.ts";
import type { TrainedRuns } from "../training/conclude-training.ts";
import type { MethodSweep } from "../training/training-experiment.ts";
import { gradient, magnitude, magnitudeAlone, random } from "./cut-then-tune.ts";
import { fromScratch } from "./from-scratch.ts";
import { hardConcrete, hardConcreteFaster } from "./hard-concrete.ts";
import type { Method } from "./method.ts";
import { direct, gating, gatingFast, gatingUpAndDown, proximal } from "./penalised.ts";

/** Strengths for each kind of method. */
export interface Strengths {
  /** λ of D-Gating and of what it is compared with. */
  readonly lambdas: readonly number[];
  /** Largest λ where it rises and falls (default: `lambdas`). */
  readonly upAndDown?: readonly number[];
  /** λ where gates learn ten times as fast as the weights (default: that is left out). */
  readonly fastGates?: readonly number[];
  /** λ of all that has the penalty of D = 2, where that takes others. */
  readonly groupLasso?: readonly number[];
  /** λ of the sub-gradients of the sparse penalty (default: `lambdas`). */
  readonly direct?: readonly number[];
  /** λ of the proximal operators (default: `lambdas`). */
  readonly proximal?: readonly number[];
  /** λ of the expected number of open gates (default: `lambdas`). */
  readonly hardConcrete?: readonly number[];
  /** The same where those gates learn ten times as fast as the weights, which suits SGD (default: that is left out). */
  readonly fastHardConcrete?: readonly number[];
  /** λ at which models are trained from scratch in the widths that D = 3 ends at (default: `lambdas`). */
  readonly fromScratch?: readonly number[];
  /** Groups that are to stay. */
  readonly fractions: readonly number[];
}

/** D-Gating, as it is. */
const gatings = [gating(2), gating(3), gating(4)] as const;

/** With the schedule of λ that helps most. */
const scheduled = gatingUpAndDown(3);

/** With gates ahead of the weights, in the experiments that have `fastGates`. */
const fast = gatingFast(3);

/** L0 at the best of four rates with SGD, that of `gating-settings`. */
const fastHardConcrete = hardConcreteFaster(10);

/** Penalties without gates. */
const directs = [direct(2), direct(3)] as const;
const proximals = [proximal(2), proximal(3)] as const;
const penalties = [...directs, ...proximals] as const;

/** What penalises by λ·‖w_j‖. */
const groupLassos = new Set<Method>([gatings[0], directs[0], proximals[0]]);

/** Train, cut, train on. */
const cuts = [magnitude, gradient, random] as const;

const names = (methods: readonly { readonly name: string }[]): readonly string[] =>
  methods.map(({ name }) => name);

/** Every method that has strengths. */
export function allMethods({ lambdas, fractions, ...own }: Strengths): readonly MethodSweep[] {
  const sweeps = [
    ...gatings.map((method) => ({ method, strengths: lambdas })),
    { method: scheduled, strengths: own.upAndDown ?? lambdas },
    { method: fast, strengths: own.fastGates ?? [] },
    ...directs.map((method) => ({ method, strengths: own.direct ?? lambdas })),
    ...proximals.map((method) => ({ method, strengths: own.proximal ?? lambdas })),
    { method: hardConcrete, strengths: own.hardConcrete ?? lambdas },
    { method: fastHardConcrete, strengths: own.fastHardConcrete ?? [] },
    ...[...cuts, magnitudeAlone].map((method) => ({ method, strengths: fractions })),
    { method: fromScratch, strengths: own.fromScratch ?? lambdas },
  ];
  return sweeps
    .map((sweep) =>
      own.groupLasso && groupLassos.has(sweep.method) ? { ...sweep, strengths: own.groupLasso } : sweep,
    )
    .filter(({ strengths }) => strengths.length > 0);
}

/** What a quick sweep can show in seconds: D-Gating against cuts of a model that has never heard of them. */
export function quickMethods({ lambdas, fractions }: Strengths): readonly MethodSweep[] {
  return [
    { method: gating(3), strengths: lambdas },
    { method: magnitudeAlone, strengths: fractions },
  ];
}

/** What sweeps of these methods are said to show; quick ones, that D-Gating is ahead of a cut without fine-tuning as well. */
export function comparisons(
  trained: TrainedRuns,
  /** What removal may cost, in the unit of the score. */
  removal: number = trained.quick ? 1 : 0.5,
): readonly Verdict[] {
  const own = names(gatings).filter((name) => trained.points(name).length > 0);
  const common = [trained.fewerWithLambda(own), trained.removalCostsNothing(own, removal)];
  if (!trained.quick) return common;
  const compared = own.includes(gatings[1].name) && trained.points(magnitudeAlone.name).length > 0;
  return compared ? [...common, trained.ahead(gatings[1].name, magnitudeAlone.name)] : common;
}

/** D-Gating against each of the others: one depth, for the best of several on the test set would be flattered. */
function leadsTable(trained: TrainedRuns): ResultTable {
  const there = (methods: readonly Method[]): readonly string[] =>
    names(methods).filter((name) => trained.points(name).length > 0);
  const ours = there([gatings[1], scheduled, fast]);
  const theirs = there([
    gatings[1],
    ...penalties,
    hardConcrete,
    fastHardConcrete,
    ...cuts,
    magnitudeAlone,
    fromScratch,
  ]);
  return {
    title:
      `Leads of D-Gating in ${trained.score.unit}: mean over the sizes that both reach (how many) ± standard error over ${trained.seeds.length} seeds; ` +
      `from ${significant(trained.seeds.length)} times that error on (Student's t, 5 %) it is ahead or behind, else alike`,
    header: ["against", ...ours],
    rows: theirs.map((name) => [name, ...ours.map((own) => trained.leadCell(own, name))]),
  };
}

/** The tables that sweeps of these methods have besides the scores. */
export const comparedTables = (trained: TrainedRuns): Pick<Conclusion, "tables"> => ({
  tables: trained.quick ? [] : [leadsTable(trained)],
});
