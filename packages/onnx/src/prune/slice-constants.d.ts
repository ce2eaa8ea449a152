import type { Coupling } from "../coupling/analyse.ts";
import { type SliceConstants, type SliceSource } from "./slice-context.ts";
/**
 * Finds the constants that dead channels leave behind: a filter of zeros still emits its bias, and what activation,
 * normalisation and pooling make of it. Exact per channel: float64, rounded after every operator as the runtime rounds.
 *
 * @returns for a value and an axis, the number that fills each slice; `undefined` if every slice varies
 */
export declare function sliceConstants(coupling: Coupling): SliceSource;
/** The number that fills each slice of a constant tensor. */
export declare function uniformSlices(
  numbers: ArrayLike<number>,
  shape: readonly number[],
  axis: number,
): SliceConstants;
