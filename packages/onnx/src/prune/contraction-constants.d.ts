import type { SliceConstants, SliceContext } from "./slice-context.ts";
/**
 * The output channels of Gemm, MatMul, Conv and ConvTranspose that are constant: those that see only constant channels, or
 * none, and so emit their bias and what those constants add to it.
 */
export declare function contractionConstants(context: SliceContext, axis: number): SliceConstants | undefined;
/** The bias of each output channel (β·C of Gemm); zeros where there is none, NaN where it differs from row to row. */
export declare function biasOf(context: SliceContext, outputs: number): Float64Array | undefined;
