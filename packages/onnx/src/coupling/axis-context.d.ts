import { type Node, type Value } from "../graph/graph.ts";
import { NodeView, type Inference } from "../infer/view.ts";
import type { Graph } from "../graph/graph.ts";
import { type Space } from "./space.ts";
/** An axis of a node's input or output, as a rule sees it. */
export interface AxisRef {
    readonly value: Value;
    readonly axis: number;
    readonly space: Space;
}
/** A sum over channels: `left` and `right` are the axes that the node multiplies and adds up. */
export interface Contraction {
    readonly node: Node;
    /** The data operand; input index and axis. */
    readonly left: {
        readonly input: number;
        readonly axis: number;
    };
    /** The weight operand (or the second data operand of an attention product). */
    readonly right: {
        readonly input: number;
        readonly axis: number;
    };
    /** The space that is summed over. */
    readonly space: Space;
}
/** A number in the model that is the size of spaces, and follows when they are cut. */
export type SizeUse = 
/** Input `input` of the node lists one size per axis (`Reshape`, `Expand`, `Resize`). */
{
    readonly kind: "shape";
    readonly node: Node;
    readonly input: number;
    readonly spaces: readonly Space[];
}
/** Sizes of the parts of `Split`. */
 | {
    readonly kind: "split";
    readonly node: Node;
    readonly spaces: readonly Space[];
}
/** An integer attribute (`group`). */
 | {
    readonly kind: "attribute";
    readonly node: Node;
    readonly name: string;
    readonly space: Space;
}
/** `Slice` of one axis: what lies before and what is taken. */
 | {
    readonly kind: "slice";
    readonly node: Node;
    readonly at: number;
    readonly before: Space;
    readonly taken: Space;
};
/** What rules write to. */
export interface Findings {
    readonly contractions: Contraction[];
    readonly sizes: SizeUse[];
    axesOf(value: Value): readonly Space[] | undefined;
}
/** A node while its rule ties axes together. What a rule leaves untouched is blocked afterwards. */
export declare class AxisContext {
    #private;
    readonly view: NodeView;
    constructor(graph: Graph, node: Node, inference: Inference, findings: Findings);
    get node(): Node;
    /** Axes of input `index`; empty if it is left out, `undefined` if its rank is not known. */
    input(index: number): readonly AxisRef[] | undefined;
    output(index?: number): readonly AxisRef[] | undefined;
    /** Index i here is index i there. */
    tie(a: AxisRef | undefined, b: AxisRef | undefined): void;
    unify(a: Space, b: Space): void;
    /** Nothing of this axis can be removed; `reason` is what the operator does to it. */
    block(ref: AxisRef | undefined, reason: string): void;
    /** The axis is dealt with (a broadcast axis of size 1, a contraction). */
    touch(ref: AxisRef | undefined): void;
    /** The node multiplies along these two axes and sums. */
    contract(left: AxisRef, leftInput: number, right: AxisRef, rightInput: number, space: Space): void;
    size(use: SizeUse): void;
    /** Blocks every axis that the rule did not speak of. */
    finish(reason: string): void;
}
