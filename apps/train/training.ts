import type { SiteKind } from "@dgate/tfjs";

/** The networks that are trained here. */
export type NetworkName = "lenet-300-100" | "cnn";

/** What a training is asked for. */
export interface TrainingSettings {
  readonly network: NetworkName;
  /** Drawn digits to train on. */
  readonly examples: number;
  readonly epochs: number;
  readonly batch: number;
  readonly rate: number;
  readonly seed: number;
  readonly backend: "auto" | "webgpu" | "wasm";
}

/** What can be changed while it runs. */
export interface Controls {
  /** D. */
  readonly depth: number;
  /** The largest λ: it rises from 0 over the first 30 % of the steps and falls to 0 over the last 30 %. */
  readonly lambda: number;
}

/** Digits that were drawn by hand, 28 × 28 pixels each. */
export interface OwnDigits {
  readonly images: Float32Array;
  readonly labels: Uint8Array;
}

/** One site at a moment of training; penalties are told for the largest λ. */
export interface SiteState {
  readonly site: string;
  readonly kind: SiteKind;
  /** ‖w_j‖ of each group. */
  readonly norms: Float32Array;
  /** Groups over the threshold. */
  readonly active: number;
  readonly smooth: number;
  readonly sparse: number;
  readonly gap: number;
  /** Largest and median |‖ω_j‖² − γ_j²|. */
  readonly imbalance: number;
  readonly medianImbalance: number;
}

/** A moment of training. */
export interface TrainingMoment {
  /** Epochs done, with a fraction. */
  readonly epoch: number;
  /** Seconds since training began. */
  readonly seconds: number;
  readonly depth: number;
  /** λ of the next step. */
  readonly lambda: number;
  /** The largest λ as it is asked for now. */
  readonly peakLambda: number;
  /** t = Σ rate / (1 − momentum) over the steps, and ∫ λ dt. */
  readonly time: number;
  readonly lambdaTime: number;
  /** Mean loss of the last epoch of the gated network, penalty included. */
  readonly loss: number | undefined;
  readonly sites: readonly SiteState[];
  /** Fractions of right answers on fresh digits, after whole epochs. */
  readonly accuracy: { readonly dense: number; readonly gated: number } | undefined;
}

/** What a moment's sites have together. */
export interface MomentTotals {
  /** Groups over the threshold, of all. */
  readonly active: number;
  readonly groups: number;
  /** Smooth minus sparse penalty. */
  readonly gap: number;
  /** The largest of the sites' medians. */
  readonly imbalance: number;
}

export function totalsOf({ sites }: TrainingMoment): MomentTotals {
  const sum = (value: (site: SiteState) => number): number =>
    sites.reduce((total, site) => total + value(site), 0);
  return {
    active: sum(({ active }) => active),
    groups: sum(({ norms }) => norms.length),
    gap: sum(({ gap }) => gap),
    imbalance: Math.max(...sites.map(({ medianImbalance }) => medianImbalance)),
  };
}

/** What pruning left. */
export interface PrunedSummary {
  readonly accuracy: { readonly dense: number; readonly gated: number; readonly pruned: number };
  readonly groups: { readonly kept: number; readonly of: number };
  readonly parameters: readonly [before: number, after: number];
  readonly macs: readonly [before: number, after: number];
  readonly bytes: readonly [before: number, after: number];
  /** Median time of a run of 32 digits in onnxruntime-web, dense and pruned in turns. */
  readonly latencyMs: readonly [before: number, after: number];
  /** Largest difference between masked and pruned model in onnxruntime-web. */
  readonly maxAbsDiff: number;
  readonly warnings: readonly string[];
}

/** Probabilities of the ten digits, by both models, in onnxruntime-web. */
export interface Guess {
  readonly dense: Float32Array;
  readonly pruned: Float32Array;
}

/** A group is dead at this fraction of its site's largest norm, and at this norm: as `findDeadGroups` has it. */
export const deadFraction = 0.01;
export const deadNorm = 1e-6;

/** Pixels of a digit along each side. */
export const side = 28;
