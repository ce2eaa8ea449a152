import type { Result, RunContext, Setup } from "../experiment.ts";
import { findExperiment } from "../registry.ts";
import { checkFinite } from "./finite.ts";

/** What a worker process is sent. */
export interface Job {
  readonly experiment: string;
  readonly setup: Setup;
  readonly context: RunContext;
}

/** What it sends back. */
export interface Work {
  readonly result: Result;
  /** Of the run alone, without the start of the process. */
  readonly seconds: number;
}

/** Makes one run, in a worker process. */
export default async function work({ experiment, setup, context }: Job): Promise<Work> {
  const start = performance.now();
  const result = await findExperiment(experiment).measure(setup, context);
  checkFinite(result, "result");
  return { result, seconds: Number(((performance.now() - start) / 1000).toFixed(2)) };
}
