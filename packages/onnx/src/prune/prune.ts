import type { PrunePlan } from "@dgate/core";
import { nodeName } from "../coupling/analyse.ts";
import type { Graph } from "../graph/graph.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { countCosts } from "../sites/count-costs.ts";
import { type AxisCut, axisCuts } from "./axis-cuts.ts";
import { carryConstants } from "./carry-constants.ts";
import { cut, type InputMode, type PortCut } from "./cut.ts";
import { removeDeadCode } from "./dead-code.ts";
import type { KeptBack } from "./decide.ts";
import { dropFullGathers, type FeatureGather } from "./feature-inputs.ts";
import { foldRemovedConstants } from "./fold-constants.ts";
import type { ModelSize } from "../plan/model-size.ts";
import { denormalise, normalise } from "../normal-form/normalise.ts";
import { prepare } from "./prepare.ts";
import { type RemovedGroups, removedGroups } from "./removed-groups.ts";

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
  /** `gather`: the model still takes all features. `resize`: it takes the kept ones only. */
  readonly mode: InputMode;
}

/** What `prune` did. */
export interface PruneReport {
  readonly before: ModelSize;
  readonly after: ModelSize;
  /** Per site of the plan: its groups, and how many are left. */
  readonly removed: readonly RemovedGroups[];
  /** Planned groups that could not go without changing the outputs; they stay zeroed. */
  readonly keptBack: readonly KeptBack[];
  readonly inputs: readonly KeptInput[];
  /** Outputs that shrank: the caches of a decoder, with their heads. `node` is absent, `mode` is `resize`. */
  readonly outputs: readonly KeptInput[];
  /** Every axis of the model's own constants that was cut. */
  readonly cuts: readonly AxisCut[];
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
export function prune(
  graph: Graph,
  plan: PrunePlan,
  { inputs = "gather", dims = {} }: PruneOptions = {},
): { graph: Graph; report: PruneReport } {
  const before = normalise(graph);
  const prepared = prepare(before, plan, inputs);
  const { work, gathers, coupling, constants, removal, keptBack, carried } = prepared;
  const removed = removedGroups(plan, coupling, removal);
  const constantCuts = axisCuts(coupling, removal, before);
  carryConstants(constants, carried);
  foldRemovedConstants(constants, removal);
  const border = cut(coupling, removal, inputs);
  const kept = dropFullGathers(work, gathers);
  removeDeadCode(work);
  const after = sizeOf(work, dims);
  denormalise(work);
  const report: PruneReport = {
    before: sizeOf(before, dims),
    after,
    removed,
    keptBack,
    inputs: [...kept.map(describeGather), ...border.inputs.map(describeCut)],
    outputs: border.outputs.map(describeCut),
    cuts: constantCuts,
  };
  return { graph: work, report };
}

function sizeOf(graph: Graph, dims: Readonly<Record<string, number>>): ModelSize {
  const { parameters, macs, bytes } = countCosts(graph, dims);
  return { parameters, macs, bytes };
}

function describeGather({ input, consumer, indices, axis, size }: FeatureGather): KeptInput {
  return {
    name: input.name,
    node: nodeName(consumer),
    axis,
    size,
    kept: [...readNumbers(indices.data!)],
    mode: "gather",
  };
}

function describeCut({ value, axis, size, kept, mode }: PortCut): KeptInput {
  return { name: value.name, node: undefined, axis, size, kept, mode };
}
