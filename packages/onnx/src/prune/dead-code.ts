import type { Graph } from "../graph/graph.ts";

/** Removes nodes whose outputs nobody uses, and then initializers that nobody uses. Returns the number of nodes removed. */
export function removeDeadCode(graph: Graph): number {
  let edits = 0;
  for (const node of graph.sorted().toReversed()) {
    if (node.outputs.some((value) => value && graph.uses(value).length > 0)) continue;
    graph.remove(node);
    edits += 1;
  }
  for (const value of graph.initializers) {
    if (graph.uses(value).length === 0) graph.removeInitializer(value);
  }
  return edits;
}
