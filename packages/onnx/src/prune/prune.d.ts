import type { PrunePlan } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { type InputMode } from "./cut.ts";
import { type KeptBack } from "./decide.ts";
/** Size of a model. */
export interface ModelSize {
  readonly parameters: number;
  readonly macs: number;
  /** Bytes of all constants. */
  readonly bytes: number;
}
/** Which features of a model input are still read. */
export interface KeptInput {
  /** The model input. */
  readonly name: string;
  /** The layer that reads them; absent where the input itself was cut for all its readers. */
  readonly node: string | undefined;
  /** Axis of what the layer reads (of the flattened input, if it is flattened first). */
  readonly axis: number;
  readonly size: number;
  readonly kept: readonly number[];
}
/** What `prune` did. */
export interface PruneReport {
  readonly before: ModelSize;
  readonly after: ModelSize;
  /** Per site of the plan: its groups, and how many are left. */
  readonly removed: readonly {
    readonly site: string;
    readonly groups: number;
    readonly kept: number;
  }[];
  /** Planned groups that could not go without changing the outputs; they stay zeroed. */
  readonly keptBack: readonly KeptBack[];
  readonly inputs: readonly KeptInput[];
}
/** Options of `prune`. */
export interface PruneOptions {
  /**
   * What happens to the model's input when its features are removed. `gather` (default): it takes full inputs and picks
   * what it reads. `resize`: where nothing else reads the input, it takes the kept features only.
   */
  readonly inputs?: InputMode;
  /** Sizes of symbolic dimensions for the report's MACs; others count as 1. */
  readonly dims?: Readonly<Record<string, number>>;
}
/**
 * Removes the dead groups of a plan from a model, with everything coupled to them. The result computes exactly what
 * `mask(graph, plan)` computes: what removed channels still emit is folded into biases, and a group that cannot go without a
 * difference stays (zeroed) and is named in the report. The graph itself is not changed.
 *
 * @throws DgateError `GROUP` if the plan does not belong to the model, `FORMAT` for a cyclic graph
 */
export declare function prune(
  graph: Graph,
  plan: PrunePlan,
  { inputs, dims }?: PruneOptions,
): {
  graph: Graph;
  report: PruneReport;
};
