import type { SliceContext } from "./slice-context.ts";
/** The fixed weights of a Gemm, MatMul, Conv or ConvTranspose as a matrix from input channels to output channels. */
export interface DenseWeights {
  /** Channel axis of input 0, and its size. */
  readonly dataAxis: number;
  readonly inputs: number;
  /** Channel axis of the output, and its size. */
  readonly outputAxis: number;
  readonly outputs: number;
  /** Channels are in this many independent groups. */
  readonly groups: number;
  /** Sum of the weights (all taps of a kernel) from input channel k to output channel j of the same group. */
  total(k: number, j: number): number;
  /** Whether any weight from k to j is not zero. */
  connected(k: number, j: number): boolean;
  /** Why a constant channel other than zero does not add the same to every position, if it does not. */
  readonly uneven: string | undefined;
}
/** `undefined` where the weights are computed, or the operator is used in a form without channels. */
export declare function denseWeights(context: SliceContext): DenseWeights | undefined;
/** Output channels `[from, to)` that input channel k reaches. */
export declare function outputsOf(
  { inputs, outputs, groups }: DenseWeights,
  k: number,
): readonly [number, number];
/** Input channels `[from, to)` that reach output channel j. */
export declare function inputsOf(
  { inputs, outputs, groups }: DenseWeights,
  j: number,
): readonly [number, number];
