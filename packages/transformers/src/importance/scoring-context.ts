import { DgateError } from "@dgate/core";
import type { Batch, Graph, Runner, RunnerOptions } from "@dgate/onnx";

/** What methods that run the model are given. */
export interface ScoringContext {
  /** The runtime of the user's own transformers.js. */
  readonly engine: Pick<RunnerOptions, "ort" | "runtime" | "threads">;
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** Called after each run with the number of examples in it. */
  readonly onExamples?: (count: number) => void;
}

/**
 * Refuses a graph with branches: what happens in the branch that is not taken has no gradient and no activations. See `firstStep` for merged decoders.
 * @throws DgateError `UNSUPPORTED`
 */
export function checkWithoutBranches(graph: Graph, method: string): void {
  const [branch] = graph.nodes("If");
  if (!branch) return;
  throw new DgateError(
    "UNSUPPORTED",
    `importance: "${method}" cannot look into the branches of the If "${branch.name}" of "${graph.name}"; take "l2" or "random", ` +
      'or open the model from a file without it: { modelFileName: "model" }.',
  );
}

/** What a loaded model takes of the feeds: a cut graph need not read all that the whole one does. */
export const fedTo = ({ inputs }: Runner, feeds: Batch): Batch =>
  Object.fromEntries(inputs.flatMap(({ name }) => (feeds[name] ? [[name, feeds[name]]] : [])));
