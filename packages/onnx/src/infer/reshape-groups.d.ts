import type { Dim } from "../graph/graph.ts";
/** Runs of input axes and of output axes that hold the same elements in the same order. */
export interface AxisGroup {
    /** Input axes `[from, to)`. */
    readonly input: readonly [from: number, to: number];
    /** Output axes `[from, to)`. */
    readonly output: readonly [from: number, to: number];
    /** False where sizes are not known well enough to say which output index is which input index. */
    readonly exact: boolean;
}
/**
 * Splits a Reshape into its smallest independent parts: `[N, C, H, W] → [N, C·H·W]` is N ↔ N and (C, H, W) ↔ C·H·W.
 * Row-major order makes this the finest split whose partial products agree on both sides.
 */
export declare function reshapeGroups(input: readonly Dim[], output: readonly Dim[]): AxisGroup[];
