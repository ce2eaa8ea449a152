import type { Graph } from "../graph/graph.ts";
import { type Inference } from "./view.ts";
/** Options of `inferShapes`. */
export interface InferOptions {
    /** Sizes for symbolic dimensions of the graph inputs, by name: `{ batch: 1 }`. */
    readonly dims?: Readonly<Record<string, number>>;
}
/**
 * Types and shapes of all values, symbolic dimensions included. Follows the integer arithmetic on shapes
 * (`Shape → Gather → Concat → Reshape`); an operator without a rule keeps what the file declares. The graph is not changed.
 *
 * @returns the type of each value about which something is known, and the known elements of small integer values
 * @throws DgateError `FORMAT` for a cyclic graph
 */
export declare function inferShapes(graph: Graph, { dims }?: InferOptions): Inference;
