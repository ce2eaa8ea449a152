import type { Dim } from "../graph/graph.ts";
/** A dimension as a number times named symbols: `2·batch·seq` is { coefficient: 2, symbols: ["batch", "seq"] }. */
export interface DimFactors {
    readonly coefficient: number;
    /** Sorted. */
    readonly symbols: readonly string[];
}
/** Splits at the top level only: a sum in parentheses stays one symbol. */
export declare function factorsOf(dim: Dim): DimFactors | undefined;
/** The dimension that `factorsOf` would take apart again. */
export declare function dimOf({ coefficient, symbols }: DimFactors): Dim;
/** Product of dimensions; unknown as soon as one of them is. */
export declare function multiplyDims(dims: readonly Dim[]): Dim;
/** Exact quotient, `undefined` where there is none. */
export declare function divideDims(dividend: Dim, divisor: Dim): Dim;
/** Sum of dimensions; a symbolic sum becomes one symbol in parentheses. */
export declare function addDims(dims: readonly Dim[]): Dim;
/** What two sources know about one dimension: a number wins over a name, a name over nothing. */
export declare function mergeDim(first: Dim, second: Dim): Dim;
/** NumPy broadcasting of two dimensions; a size other than 1 decides over a symbol. */
export declare function broadcastDim(a: Dim, b: Dim): Dim;
/** NumPy broadcasting of whole shapes, `undefined` where a rank is not known. */
export declare function broadcastShapes(shapes: readonly (readonly Dim[] | undefined)[]): Dim[] | undefined;
