import type { Conclusion, Experiment } from "../experiment.ts";
import type { RunRecord } from "../runner/run-record.ts";

/** An experiment with what its runs say. */
export interface Reported {
  readonly experiment: Experiment;
  readonly conclusion: Conclusion;
  readonly records: readonly RunRecord[];
}

/** Name of a plot beside `results.md`. */
export const plotName = ({ name }: Experiment, position: number): string => `${name}-${position + 1}.svg`;

export const plotNames = /^[\w-]+-\d+\.svg$/;

/** `15 runs, 5 seeds, 312 s in all, commit 1a2b3c4, Node 20.20.0, AMD EPYC`. */
export function provenanceOf(records: Reported["records"]): string {
  const seeds = new Set(records.map(({ setup }) => setup.seed)).size;
  const seconds = records.reduce((sum, record) => sum + record.seconds, 0);
  const commits = [...new Set(records.map(({ commit }) => commit))];
  const nodes = [...new Set(records.map(({ versions }) => versions["node"]))];
  const processors = [...new Set(records.map(({ cpu }) => cpu))];
  return `${records.length} runs, ${seeds} seeds, ${seconds.toFixed(0)} s in all, commit ${commits.join(", ")}, Node ${nodes.join(", ")}, ${processors.join(", ")}`;
}
