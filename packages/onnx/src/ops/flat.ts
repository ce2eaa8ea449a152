import type { Graph, Node } from "../graph/graph.ts";
import { stringAttribute } from "./attributes.ts";

/**
 * What stands for an If in a flat graph: `Merge(condition, then outputs…, else outputs…)`. Nodes and constants of a branch are
 * those whose names begin with its prefix; what passes add to a branch takes its name from a node there.
 */
export const mergeDomain = "dgate.flat";

/** Tells the nodes of else branches of a flat graph: a run takes one branch, and costs are those of the first. */
export function elseBranchOf(graph: Graph): (node: Node) => boolean {
  const prefixes = graph
    .nodes("Merge", mergeDomain)
    .map((merge) => stringAttribute(merge, "else_prefix", "\0"));
  return ({ name }) => prefixes.some((prefix) => name.startsWith(prefix));
}
