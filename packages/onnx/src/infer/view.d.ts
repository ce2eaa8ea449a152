import type { Dim, Graph, Node, Value, ValueType } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
/** Shapes and small contents of a graph's values, as found so far. */
export interface Inference {
    readonly types: ReadonlyMap<Value, ValueType>;
    /** Elements of small integer values in row-major order; a symbolic element is a dimension's name. */
    readonly contents: ReadonlyMap<Value, readonly Dim[]>;
}
/** A node as the rule tables see it: its attributes beside what is known about its inputs. */
export declare class NodeView {
    #private;
    readonly node: Node;
    readonly graph: Graph;
    constructor(graph: Graph, node: Node, inference: Inference);
    /** Version of the operator set that the node belongs to. */
    get opset(): number;
    input(index: number): Value | undefined;
    output(index?: number): Value | undefined;
    type(value: Value | undefined): ValueType | undefined;
    /** Shape of input `index`; `undefined` if the rank is not known. */
    shape(index: number): readonly Dim[] | undefined;
    outputShape(index?: number): readonly Dim[] | undefined;
    dtype(index: number): DataType | undefined;
    /** Known elements of a small integer input, symbols included. */
    content(index: number): readonly Dim[] | undefined;
    /** Known elements of a small integer input, if all of them are numbers. */
    integers(index: number): readonly number[] | undefined;
    /** Elements of a small constant input of any number type (scales, clip bounds). */
    numbers(index: number): readonly number[] | undefined;
    /** An axis attribute counted from the front, given the rank it refers to. */
    axis(name: string, fallback: number, rank: number): number;
    /**
     * The axes of Squeeze, Unsqueeze, Reduce*, …: an attribute in older operator sets, an input in newer ones. `undefined`
     * when left out, `"unknown"` when computed at run time.
     */
    axes(inputIndex: number): readonly number[] | "unknown" | undefined;
}
