import { type PrunePlan } from "@dgate/core";
import { type Removal } from "../coupling/analyse.ts";
import { type DenseWeights } from "./dense-weights.ts";
import { type SliceSource } from "./slice-context.ts";
/** Groups of a planned axis that stay although the plan lets them go. */
export interface KeptBack {
  readonly site: string;
  readonly groups: readonly number[];
  readonly reason: string;
}
/** What goes, and why the rest of the plan does not. */
export interface Decision {
  readonly removal: Removal;
  readonly keptBack: readonly KeptBack[];
}
/**
 * Decides which channels of a masked graph can go without changing its outputs. A planned index may go if it is a whole
 * index of a channel space that nothing blocks, and if wherever the channel is summed up it counts nothing (zero weights) or
 * is a constant that can be added to a bias.
 */
export declare function decideRemoval(plan: PrunePlan, constants: SliceSource): Decision;
/** Indices of one group's channels, in every group. */
export declare function dataChannels(channels: readonly number[], { inputs, groups }: DenseWeights): number[];
