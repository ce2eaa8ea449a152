import type { Graph } from "../graph/graph.ts";
/**
 * Replaces a branch that is dead as a whole (a residual branch without filters) by the constant it emits: nothing at all if
 * that is zero and added, else one number per channel. The branch's nodes disappear.
 */
export declare function dropConstantBranches(graph: Graph): number;
