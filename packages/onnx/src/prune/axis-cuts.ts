import { type Coupling, keptIndices, type Removal } from "../coupling/analyse.ts";
import type { Graph } from "../graph/graph.ts";

/** What is left of one axis of a constant: index `i` of the pruned tensor was index `kept[i]`. */
export interface AxisCut {
  /** Name of the initializer, in the normal form of the model. */
  readonly tensor: string;
  readonly axis: number;
  /** Indices before the cut. */
  readonly size: number;
  /** Those that stay, ascending. */
  readonly kept: readonly number[];
}

/** The axes that a removal cuts of those constants that `original` has too (a bias made by folding is none of them). */
export function axisCuts({ graph, axesOf }: Coupling, removal: Removal, original: Graph): AxisCut[] {
  return graph.initializers.flatMap((value) => {
    if (!original.value(value.name)?.data) return [];
    return (axesOf(value) ?? []).flatMap((space, axis): AxisCut[] => {
      const kept = keptIndices(space, removal);
      return kept ? [{ tensor: value.name, axis, size: value.data!.shape[axis]!, kept }] : [];
    });
  });
}
