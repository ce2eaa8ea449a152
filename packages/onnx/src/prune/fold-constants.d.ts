import { type Removal } from "../coupling/analyse.ts";
import { type SliceSource } from "./slice-context.ts";
/**
 * Adds what removed channels still emit to the biases of the layers that read them:
 *
 *     b′_j = b_j + Σ_{k removed} c_k · Σ_taps W[k → j]
 *
 * in float64, rounded to the weights' type. A missing bias is created. Returns the number of biases changed.
 */
export declare function foldRemovedConstants(constants: SliceSource, removal: Removal): number;
