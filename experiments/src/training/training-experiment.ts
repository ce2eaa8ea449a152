import {
  type Conclusion,
  defineExperiment,
  type Experiment,
  type Run,
  type Setup,
  type Verdict,
} from "../experiment.ts";
import { dense } from "../methods/dense.ts";
import type { Method } from "../methods/method.ts";
import { concludeTraining, type TrainedRuns } from "./conclude-training.ts";
import { measurePoints, groupsOf, type Point } from "./point.ts";
import type { Task, TaskOptions } from "./task.ts";

/** A method with the strengths that it is run at. */
export interface MethodSweep {
  readonly method: Method;
  readonly strengths: readonly number[];
}

/** How scores are told. */
export interface ScoreKind {
  readonly name: string;
  /** 1 where more is better, −1 where less is. */
  readonly sign: 1 | -1;
  /** What a score is multiplied with, and the digits that are shown. */
  readonly scale: number;
  readonly digits: number;
  readonly unit: string;
}

/** Fraction of right answers, in per cent. */
export const accuracy: ScoreKind = { name: "test accuracy", sign: 1, scale: 100, digits: 2, unit: "%" };

/** What makes an experiment of a task and methods. */
export interface TrainingExperiment
  extends Pick<Experiment, "name" | "family" | "title" | "claim" | "version" | "seeds"> {
  /** Files of the data folder that the whole and the quick sweep need. */
  readonly data?: Experiment["data"];
  readonly task: (options: TaskOptions) => Task | Promise<Task>;
  readonly score: ScoreKind;
  readonly sweeps: (quick: boolean) => readonly MethodSweep[];
  /** Fractions of groups at which methods are compared. */
  readonly sizes: (quick: boolean) => readonly number[];
  /** What the runs are said to show, beside the tables. */
  readonly verdicts: (trained: TrainedRuns) => readonly Verdict[];
  /** More tables and charts. */
  readonly more?: (trained: TrainedRuns) => Partial<Pick<Conclusion, "tables" | "charts">>;
}

/** One method at one λ, or at all fractions, of one seed. */
export interface TrainingSetup extends Setup {
  readonly method: string;
  readonly strengths: readonly number[];
  readonly quick: boolean;
}

/** What came out. */
export interface TrainingResult {
  readonly groups: number;
  readonly points: readonly Point[];
}

/** An experiment that trains a task by several methods and compares what they leave. */
export function trainingExperiment(definition: TrainingExperiment): Experiment {
  const { task, sweeps, score, sizes, verdicts, more, ...rest } = definition;
  const withDense = (quick: boolean): readonly MethodSweep[] => [
    { method: dense, strengths: [0] },
    ...sweeps(quick),
  ];
  return defineExperiment<TrainingSetup, TrainingResult>({
    ...rest,
    onBackend: true,
    setups: ({ quick, seeds }) =>
      seeds.flatMap((seed) =>
        withDense(quick).flatMap(({ method: { name, strength }, strengths }) => {
          const runs = strength === "fraction" ? [strengths] : strengths.map((each) => [each]);
          return runs.map((own) => ({ seed, method: name, strengths: own, quick }));
        }),
      ),
    async measure({ seed, method, strengths, quick }, { backend }) {
      const own = await task({ quick, seed, backend });
      const { run } = withDense(quick).find((each) => each.method.name === method)!.method;
      const outcomes = await run({ task: own, seed, backend }, strengths);
      return {
        groups: groupsOf(own, await own.build(seed)),
        points: await measurePoints(own, seed, outcomes),
      };
    },
    conclude(runs: readonly Run<TrainingSetup, TrainingResult>[]) {
      const { quick } = runs[0]!.setup;
      return concludeTraining(runs, {
        sweeps: withDense(quick),
        score,
        sizes: sizes(quick),
        verdicts,
        ...(more && { more }),
      });
    },
  });
}
