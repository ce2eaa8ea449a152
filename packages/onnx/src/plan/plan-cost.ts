import type { PrunePlan } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { costModel } from "./cost-model.ts";
import { plannedFolds } from "../prune/fold-constants.ts";
import type { ModelSize } from "./model-size.ts";
import { normalise } from "../normal-form/normalise.ts";
import { prepare, type Prepared } from "../prune/prepare.ts";

/** Options of `costOfPlan`. */
export interface PlanCostOptions {
  /** Sizes of symbolic dimensions, by name; others count as 1. */
  readonly dims?: Readonly<Record<string, number>>;
}

/**
 * What `prune(graph, plan)` would leave (the report's `after`), without cutting. Groups that could not go are counted.
 *
 * @throws DgateError `GROUP` if the plan does not belong to the model, `FORMAT` for a cyclic graph
 */
export function costOfPlan(graph: Graph, plan: PrunePlan, { dims = {} }: PlanCostOptions = {}): ModelSize {
  return preparedCost(prepare(normalise(graph), plan, "gather"), dims);
}

/** The cost of a model whose removal is decided. */
export function preparedCost(
  { coupling, constants, gathers, removal }: Prepared,
  dims: Readonly<Record<string, number>>,
): ModelSize {
  return costModel(coupling, { dims, gathers }).under({ removal, folds: plannedFolds(constants, removal) });
}
