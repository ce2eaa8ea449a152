import type { ValueType } from "../graph/graph.ts";
import type { NodeView } from "./view.ts";
/** What an operator writes; `undefined` for an output about which nothing is known. */
export type ShapeRule = (view: NodeView) => readonly (ValueType | undefined)[];
/** The ranges that Slice takes, axis by axis; `undefined` where one of its inputs is computed at run time. */
export declare function sliceRanges(view: NodeView): readonly {
    axis: number;
    start: number;
    end: number;
    step: number;
}[] | undefined;
/** `[from, to)` of a forward slice over an axis of known size. */
export declare function sliceBounds(size: number, start: number, end: number): readonly [number, number];
/** Pads of `Pad`, per axis of its input; `undefined` where computed at run time. */
export declare function padAmounts(view: NodeView): readonly (readonly [before: number, after: number])[] | undefined;
/**
 * Shape rules of the standard operators. An operator without a row keeps the type that the file declares for its
 * outputs, or none.
 */
export declare const shapeRules: Readonly<Record<string, ShapeRule>>;
