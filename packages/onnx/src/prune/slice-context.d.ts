import type { Coupling } from "../coupling/analyse.ts";
import type { Node, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { NodeView } from "../infer/view.ts";
/**
 * For each index of an axis, the one number that fills the whole slice at that index whatever the model is fed; NaN where
 * the slice varies or is not one number.
 */
export type SliceConstants = Float64Array;
/** What holds the constants of a graph; see `sliceConstants`. */
export interface SliceSource {
  readonly coupling: Coupling;
  of(value: Value, axis: number): SliceConstants | undefined;
}
/** A node as the rules for constants see it. */
export declare class SliceContext {
  #private;
  readonly view: NodeView;
  constructor(node: Node, source: SliceSource);
  get node(): Node;
  /** Size of an axis of input `index`, if it is a number. */
  size(index: number, axis: number): number | undefined;
  outputSize(axis: number): number | undefined;
  /** The slices of input `index` along an axis. */
  slices(index: number, axis: number): SliceConstants | undefined;
  /** A fixed input's elements, through the rearrangements on the way. */
  numbers(index: number): ArrayLike<number> | undefined;
  /** The single number that fills a fixed input. */
  uniform(index: number): number | undefined;
}
/** The content of a value that is a constant, or a rearranged one (tied weights are used through a Transpose). */
export declare function fixedTensor({ graph, inference }: Coupling, value: Value): Tensor | undefined;
export declare function isNumeric({ dtype }: Tensor): boolean;
