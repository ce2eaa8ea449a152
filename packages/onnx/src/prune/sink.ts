import type { Contraction } from "../coupling/axis-context.ts";
import type { DenseWeights } from "../constants/dense-weights.ts";
import type { SliceConstants } from "../constants/slice-context.ts";

/** A place where removed channels would be summed up, with what is needed to say whether they may go. */
export interface Sink {
  readonly contraction: Contraction;
  readonly weights: DenseWeights | undefined;
  readonly data: SliceConstants | undefined;
  /** Constants of the second operand where both are computed. */
  readonly other: SliceConstants | undefined;
}

/** Indices of one group's channels, in every group. */
export function dataChannels(channels: readonly number[], { inputs, groups }: DenseWeights): number[] {
  return Array.from({ length: groups }, (_, g) => channels.map((k) => (g * inputs) / groups + k)).flat();
}
