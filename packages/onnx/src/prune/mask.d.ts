import { type PlannedAxis, type PrunePlan } from "@dgate/core";
import type { Graph, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
/** Names the architecture of a model: what a plan's fingerprint is compared with. Weights' values do not enter. */
export declare function fingerprint(graph: Graph): string;
/** As `fingerprint`, for a graph that is in normal form already. */
export declare function fingerprintOfNormal(graph: Graph): string;
/**
 * The model with the dead groups of a plan zeroed: same shapes, same file size. Exactly the planned slices are touched; a
 * bias is zeroed only if the plan lists it. The graph itself is not changed.
 *
 * @throws DgateError `GROUP` if the plan is for another model or names a tensor, axis or index that is not there
 */
export declare function mask(graph: Graph, plan: PrunePlan): Graph;
/** Zeroes the planned slices of a graph in normal form. */
export declare function maskInPlace(graph: Graph, plan: PrunePlan): void;
/** The initializer that a planned axis speaks of. */
export declare function plannedTensor(graph: Graph, planned: PlannedAxis): Value;
/** The indices of the axis that the plan does not keep. */
export declare function deadIndices({ size, blockSize, kept }: PlannedAxis): number[];
/** A tensor with the slices `indices` of an axis set to zero. */
export declare function zeroed(tensor: Tensor, axis: number, indices: readonly number[]): Tensor;
