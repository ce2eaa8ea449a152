import { type LayerCost, type ModelCost } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
/** Cost of one node. */
export interface NodeCost extends LayerCost {
    readonly op: string;
}
/** Cost of a graph, node by node and in all. */
export interface GraphCost extends ModelCost {
    readonly layers: readonly NodeCost[];
    /** Bytes of all constants. */
    readonly bytes: number;
    /** Symbolic dimensions that were counted as 1 because `dims` gives them no size. */
    readonly assumed: readonly string[];
}
/**
 * Parameters, multiply–adds and bytes of a model.
 *
 * @param dims sizes of symbolic dimensions, by name; a dimension without size counts as 1 (so `batch` need not be given)
 */
export declare function countCosts(graph: Graph, dims?: Readonly<Record<string, number>>): GraphCost;
