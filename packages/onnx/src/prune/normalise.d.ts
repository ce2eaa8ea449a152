import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
/**
 * A copy of a graph in the form that analysis and pruning work on: every `Constant` node is an initializer of the same name,
 * and a weight that is only reshaped or transposed before its use is stored that way. Outputs are the same to the bit.
 */
export declare function normalise(graph: Graph): Graph;
/** Turns `Constant` nodes into initializers. */
export declare function liftConstants(graph: Graph): number;
/** Stores a reshaped or transposed weight in its final form, if nothing else uses it. */
export declare function foldStaticShapes(graph: Graph): number;
/**
 * The content of a value that no caller can change: from IR 4 on, an initializer that is also a graph input is only a
 * default; before, every initializer had to be listed as an input.
 */
export declare function fixedData(graph: Graph, value: Value): Tensor | undefined;
/** What a node makes of a constant by moving its elements; `undefined` for another operator or an unknown shape. */
export declare function rearranged(
  node: Node,
  data: Tensor,
  shape: readonly (number | string | undefined)[] | undefined,
): Tensor | undefined;
