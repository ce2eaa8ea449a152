import type { LineChart } from "./report/line-chart.ts";
import type { Backend } from "./training/task.ts";

/** What a run is made of: plain JSON, so that it can be hashed, sent to a worker and written down. */
export interface Setup {
  readonly seed: number;
  readonly [name: string]: string | number | boolean | readonly number[] | undefined;
}

/** What a run has come to: plain JSON. */
export type Result = object;

/** What a run may use. */
export interface RunContext {
  /** Where networks are trained. */
  readonly backend: Backend;
}

/** A finished run. */
export interface Run<S extends Setup = Setup, R extends Result = Result> {
  readonly setup: S;
  readonly result: R;
}

/** Whether a claim held, with the figure that says so. */
export interface Verdict {
  readonly claim: string;
  readonly holds: boolean;
  readonly figure: string;
}

/** A table of the report; cells are Markdown. */
export interface ResultTable {
  readonly title: string;
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** What all runs of an experiment say together. */
export interface Conclusion {
  readonly verdicts: readonly Verdict[];
  readonly tables: readonly ResultTable[];
  readonly charts: readonly LineChart[];
}

/** Which runs are wanted. */
export interface Sweep {
  /** Seconds rather than minutes, for tests: same code, smaller sizes. */
  readonly quick: boolean;
  readonly seeds: readonly number[];
}

/** One claim, or a few that belong together, and the runs that test it. */
export interface Experiment<S extends Setup = Setup, R extends Result = Result> {
  readonly name: string;
  /** Experiments that `run FAMILY` runs together. */
  readonly family: "theory" | "vision" | "tabular" | "language" | "settings" | "cost";
  readonly title: string;
  /** What is claimed, and where. */
  readonly claim: string;
  /** Raised when `measure` comes to mean something else: runs of an older one are made again. */
  readonly version: number;
  /** Whether results depend on where networks are trained. */
  readonly onBackend?: boolean;
  /** Whether runs are made one at a time, whatever is asked for: times are measured. */
  readonly alone?: boolean;
  /** Whether a result says that something is not there, which another machine may have: such a run is made again each time. */
  readonly isAbsent?: (result: R) => boolean;
  /** Files below the data folder without which nothing can be run. */
  readonly data?: ((quick: boolean) => readonly string[]) | undefined;
  /** Seeds that a whole sweep takes, unless told. */
  readonly seeds: number;
  readonly setups: (sweep: Sweep) => readonly S[];
  readonly measure: (setup: S, context: RunContext) => Promise<R> | R;
  readonly conclude: (runs: readonly Run<S, R>[]) => Conclusion;
}

/** Hides the types of an experiment's setups and results from those who only run it. */
export function defineExperiment<S extends Setup, R extends Result>(
  experiment: Experiment<S, R>,
): Experiment {
  // Setups and results reach an experiment only from its own `setups` and `measure`, by way of JSON.
  return experiment as unknown as Experiment;
}
