import {
  DgateError,
  defineGroups,
  directSubgradient,
  frozenPenalty,
  frozenPenaltyGradient,
  type GroupSet,
  smoothPenalty,
  smoothPenaltyGradient,
  sparsePenalty,
} from "@dgate/core";
import { graphOps } from "../gating/graph-ops.ts";
import type { ResolvedGates } from "../gating/resolve-gates.ts";
import type { Graph, Value } from "../graph/graph.ts";
import type { Trained } from "./parameter.ts";
import type { GroupWeights, PenaltyKind } from "./trainer-options.ts";
import { trainingNames } from "./training-names.ts";

/** What the penalty depends on. */
interface PenaltyOptions {
  readonly train: Trained;
  readonly groupWeights: GroupWeights;
  readonly penalty: PenaltyKind;
  /** D. */
  readonly depth: number;
}

/** A training graph with its penalty. */
export interface Penalised {
  readonly lambda: Value;
  readonly penalty: Value;
  /** Of loss and penalty, by parameter. */
  readonly gradients: ReadonlyMap<string, Value>;
}

/**
 * Core's penalty of every group set, and its gradient added to that of the loss.
 * @throws DgateError `OPTION` for the weight of a site that is not gated
 */
export function addPenalty(
  graph: Graph,
  resolved: readonly ResolvedGates[],
  reached: ReadonlyMap<string, Value>,
  { train, groupWeights, penalty: kind, depth }: PenaltyOptions,
): Penalised {
  checkWeightNames(resolved, groupWeights);
  const ops = graphOps(graph, { dtype: "float32", scope: "penalty" });
  const lambda = graph.addInput(trainingNames.lambda, { dtype: "float32", shape: [] });
  const gradients = new Map(reached);
  const add = (name: string, gradient: Value): void => {
    // A weight that only its penalty depends on shrinks with the rest of its group.
    const before = gradients.get(name);
    gradients.set(name, before ? ops.add(before, gradient) : gradient);
  };
  const penalties = resolved.map((each): Value => {
    const set = weightedSet(each, groupWeights);
    const gates = each.gates.map(({ name }) => graph.value(name)!);
    if (train === "gates") {
      const slopes = frozenPenaltyGradient(ops, gates, lambda, set.weights);
      gates.forEach(({ name }, k) => add(name, slopes[k]!));
      return frozenPenalty(ops, gates, lambda, set.weights);
    }
    const primary = each.weights.map(({ value }) => graph.value(value.name)!);
    if (kind !== "smooth") {
      if (kind === "sparse") {
        const slopes = directSubgradient(ops, set, primary, 1, 2 / depth);
        primary.forEach(({ name }, m) => add(name, ops.mul(slopes[m]!, lambda)));
      }
      return sparsePenalty(ops, set, primary, lambda, depth);
    }
    const slopes = smoothPenaltyGradient(ops, set, { primary, gates }, lambda);
    gates.forEach(({ name }, k) => add(name, slopes.gates[k]!));
    primary.forEach(({ name }, m) => add(name, slopes.primary[m]!));
    return smoothPenalty(ops, set, { primary, gates }, lambda);
  });
  // Nothing is gated: the penalty of nothing.
  const none = penalties.length > 0 ? [] : [ops.mul(lambda, ops.scalar(0))];
  const penalty = [...none, ...penalties].reduce((a, b) => ops.add(a, b));
  return { lambda, penalty, gradients };
}

function checkWeightNames(resolved: readonly ResolvedGates[], groupWeights: GroupWeights): void {
  if (typeof groupWeights === "string") return;
  const names = resolved.flatMap(({ site }) => site.sites);
  const unknown = Object.keys(groupWeights).find((name) => !names.includes(name));
  if (unknown === undefined) return;
  throw new DgateError(
    "OPTION",
    `train: groupWeights names "${unknown}", which is no gated site; there are ${names.slice(0, 6).join(", ")}.`,
  );
}

/** The set with the penalty weights that were asked for. */
export function weightedSet({ set, site }: ResolvedGates, groupWeights: GroupWeights): GroupSet {
  if (groupWeights === "none") return set;
  if (groupWeights === "sqrt-size") return defineGroups(set.members, { weights: groupWeights });
  const own = site.sites.find((name) => Object.hasOwn(groupWeights, name));
  const weight = own === undefined ? 1 : groupWeights[own]!;
  return defineGroups(set.members, { weights: Array.from({ length: set.groups }, () => weight) });
}
