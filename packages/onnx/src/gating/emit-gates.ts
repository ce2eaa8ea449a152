import { collapse } from "@dgate/core";
import type { Graph, Value } from "../graph/graph.ts";
import type { BoundGateSet } from "./gate-sets.ts";
import { graphOps } from "./graph-ops.ts";

/** A gate set that is to be emitted. */
export interface EmittedSet extends BoundGateSet {
  readonly name: string;
  /** D − 1 values `[groups]`. */
  readonly gates: readonly Value[];
}

/**
 * Adds the nodes that compute `w = ω·Πγ` for each set, by core's `collapse`. A weight that several sets gate (its neurons and
 * its input features, say) passes through them in order.
 *
 * @param primary ω by tensor name
 * @returns for each set the gated weight of each member
 */
export function emitGates(
  graph: Graph,
  sets: readonly EmittedSet[],
  primary: (tensor: string) => Value,
): Value[][] {
  const latest = new Map<string, Value>();
  return sets.map(({ name, dtype, set, gates }) => {
    const ops = graphOps(graph, { dtype, scope: `${name}.gate` });
    const inputs = set.members.map((member) => latest.get(member.name) ?? primary(member.name));
    const gated = collapse(ops, set, { primary: inputs, gates });
    set.members.forEach((member, m) => latest.set(member.name, gated[m]!));
    return gated;
  });
}
