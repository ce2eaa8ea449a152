import type { Graph } from "../graph/graph.ts";
/** Removes nodes whose outputs nobody uses, and then initializers that nobody uses. Returns the number of nodes removed. */
export declare function removeDeadCode(graph: Graph): number;
