import type { Latency } from "../measure/latency.ts";
import type { Objective, Target } from "./learn-options.ts";

/**
 * Quality on held-out data by measure: `loss` of the objective; `accuracy` against labels; `agreement`, the part of predictions that are the dense model's;
 * `cosine` and `rankCorrelation` of embeddings; `perplexity` of a language model.
 */
export type Quality = Readonly<Record<string, number>>;

/** One stage of the model. */
export interface Stage {
  readonly quality: Quality;
  readonly parameters: number;
  readonly macs: number;
  readonly bytes: number;
  readonly latency?: Latency;
}

/** What `HeadGates.learn` found. */
export interface LearnReport {
  readonly objective: Objective;
  readonly target: Target | undefined;
  /** Examples learned from, held out, cut to the longest length, and left out for they are empty. */
  readonly data: {
    readonly examples: number;
    readonly heldOut: number;
    readonly truncated: number;
    readonly empty: number;
    readonly maxLength: number;
  };
  readonly steps: number;
  readonly seconds: number;
  /** λ at the end of gating. */
  readonly lambda: number;
  /** Loss without penalty of every step. */
  readonly losses: Float64Array;
  readonly dense: Stage;
  /** With the gates that were learned, groups that fall short turned off; nothing removed yet. */
  readonly gated: Stage;
  /** As it comes out of `prune`. */
  readonly pruned: Stage;
  /** Scores on held-out data on the way. */
  readonly evaluations: readonly { readonly step: number; readonly quality: Quality }[];
  /** Groups that stay by block, and the scores that they were ranked by. */
  readonly kept: ReadonlyMap<string, readonly number[]>;
  readonly scores: ReadonlyMap<string, Float64Array>;
  readonly warnings: readonly string[];
}
