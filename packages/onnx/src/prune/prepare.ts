import type { PrunePlan } from "@dgate/core";
import { analyseCoupling, type Coupling, type Removal } from "../coupling/analyse.ts";
import type { Graph } from "../graph/graph.ts";
import type { InputMode } from "./cut.ts";
import type { Carried } from "./carry-constants.ts";
import { decideRemoval, type KeptBack } from "./decide.ts";
import { dropConstantBranches } from "./drop-constant-branches.ts";
import { type FeatureGather, insertFeatureGathers } from "./feature-inputs.ts";
import { maskInPlace } from "./mask.ts";
import { sliceConstants } from "../constants/slice-constants.ts";
import type { SliceSource } from "../constants/slice-context.ts";

/** A masked model with the decision of what can go from it. Nothing is cut yet. */
export interface Prepared {
  /** The masked graph: without its dead branches, with a Gather before each layer whose input features are planned. */
  readonly work: Graph;
  readonly gathers: readonly FeatureGather[];
  readonly coupling: Coupling;
  readonly constants: SliceSource;
  readonly removal: Removal;
  readonly keptBack: readonly KeptBack[];
  readonly carried: readonly Carried[];
}

/**
 * Masks a copy of a graph in normal form and decides what of the plan can go without changing the outputs.
 *
 * @throws DgateError `GROUP` if the plan does not belong to the model, `FORMAT` for a cyclic graph
 */
export function prepare(normal: Graph, plan: PrunePlan, inputs: InputMode): Prepared {
  const work = normal.clone();
  maskInPlace(work, plan);
  if (plan.axes.some(({ kept }) => kept.length === 0)) dropConstantBranches(work);
  const gathers = inputs === "gather" ? insertFeatureGathers(work, plan) : [];
  const coupling = analyseCoupling(work);
  const constants = sliceConstants(coupling);
  return { work, gathers, coupling, constants, ...decideRemoval(plan, constants) };
}
