import { type Graph, type Node, type Value } from "../graph/graph.ts";
import type { Inference } from "../infer/view.ts";
import { type Contraction, type SizeUse } from "./axis-context.ts";
import { Space } from "./space.ts";
/** Where a leaf space occurs in an axis: index g of the leaf is at offset + g·stride + Σ_l k_l·loops_l.stride, all k_l. */
export interface Occurrence {
    readonly offset: number;
    readonly stride: number;
    readonly loops: readonly {
        readonly count: number;
        readonly stride: number;
    }[];
}
/** The dependency analysis of a graph: which channel space each axis of each value belongs to. */
export interface Coupling {
    readonly graph: Graph;
    readonly inference: Inference;
    /** Sums over channels: the places where a channel ends. */
    readonly contractions: readonly Contraction[];
    /** Numbers in the model that follow a cut. */
    readonly sizes: readonly SizeUse[];
    /** Nodes in topological order. */
    readonly nodes: readonly Node[];
    /** The spaces of a value's axes; `undefined` if its rank is not known. */
    axesOf(value: Value): readonly Space[] | undefined;
    /** Gives a value made after the analysis its spaces. */
    assign(value: Value, axes: readonly Space[]): void;
}
/**
 * Ties all axes of a graph whose indices must be removed together. Each operator's row says how; an operator without a row
 * blocks its channels, graph outputs block theirs. Constants must be initializers (see `normalise`).
 *
 * @throws DgateError `FORMAT` for a cyclic graph
 */
export declare function analyseCoupling(graph: Graph): Coupling;
/** All places of a leaf in an axis; several where an axis holds the same channels twice. */
export declare function occurrences(axis: Space, leaf: Space): Occurrence[];
/** The indices of an axis at which a leaf's index `group` stands, ascending within each occurrence. */
export declare function indicesOf({ offset, stride, loops }: Occurrence, group: number): number[];
/** Leaf indices that are to go. */
export type Removal = ReadonlyMap<Space, ReadonlySet<number>>;
/** The size of an axis after a removal. */
export declare function cutSize(axis: Space, removal: Removal): number | undefined;
/** The indices of an axis that stay, ascending; `undefined` if all do. */
export declare function keptIndices(axis: Space, removal: Removal): number[] | undefined;
/** What to say of an axis that cannot be cut, or `undefined` if it can. */
export declare function whyBlocked(leaf: Space): string | undefined;
/** A node's name for people and sites: its own, or the name of what it writes. */
export declare function nodeName(node: Node): string;
