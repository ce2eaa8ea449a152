import { type Coupling, type Removal } from "../coupling/analyse.ts";
import { type Value } from "../graph/graph.ts";
/** How a model input changed. */
export interface InputCut {
  readonly value: Value;
  readonly axis: number;
  readonly size: number;
  readonly kept: readonly number[];
}
/** What becomes of a model input whose features are removed. */
export type InputMode = "gather" | "resize";
/**
 * Cuts every constant, size and declared type of a graph to what a removal leaves.
 *
 * @throws DgateError `CHECK` if the shapes that follow from the cut graph are not the expected ones; the graph is then spoilt
 */
export declare function cut(coupling: Coupling, removal: Removal, mode: InputMode): InputCut[];
