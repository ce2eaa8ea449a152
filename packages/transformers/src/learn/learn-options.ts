import type { Example } from "../data/example.ts";
import type { Scores } from "../prune/choose-groups.ts";
import type { PruneOptions } from "../prune/prune-model.ts";

/** What the gates are learned to reach: see `LearnOptions.target`. */
export type Target =
  /** Fraction of the heads that stays. */
  | { readonly heads: number }
  /** Fraction of the multiply–adds that stays. */
  | { readonly macs: number }
  /** How many times faster the pruned model is to run, on this machine. */
  | { readonly speedup: number };

/**
 * What is made small. `distill`: the distance from what the dense model gives (Kullback–Leibler divergence of logits, squared error of hidden
 * states). `labels`: cross-entropy. `next-token`: cross-entropy of a language model. `embedding`: the distance of normalised mean-pooled states,
 * 2 − 2·cos, from those of the dense model.
 */
export type Objective = "distill" | "labels" | "next-token" | "embedding";

/** What `learn` tells while it works. */
export interface LearnProgress {
  readonly phase: "encode" | "score" | "gate" | "finish" | "measure";
  /** Steps done, over all rounds and phases, and in all. */
  readonly step: number;
  readonly steps: number;
  readonly round: number;
  readonly loss?: number;
  readonly lambda?: number;
  /** Fraction of the groups that are alive. */
  readonly active?: number;
  /** Quality on held-out data, where it has just been scored. */
  readonly quality?: Readonly<Record<string, number>>;
}

/** Options of `HeadGates.learn`. */
export interface LearnOptions {
  /** By default `distill`, which needs no labels: the dense model is the teacher. */
  readonly objective?: Objective;
  /** What is to be reached. Groups are ranked by what was learned; those that fall short of it are turned off. Without it, groups whose gate has died are. */
  readonly target?: Target;
  /** λ of the penalty. With a target, where λ starts: it is steered from there (default 1e-3). */
  readonly lambda?: number;
  /** `gates` (default): all weights are frozen, only gates are learned. `groups`: gates and the weights of the groups. `all`: every weight. */
  readonly train?: "gates" | "groups" | "all";
  /** Steps in all (default 300), rounds together. */
  readonly steps?: number;
  /** Part of the steps that is left for training what stays, without penalty (default 0.6). */
  readonly finish?: number;
  /** Rounds of gating and removing, each with a part of the target (default 1). */
  readonly rounds?: number;
  readonly batchSize?: number;
  /** Learning rate of the weights (default 1e-4, of Adam): as it is while gating, then warmed up and down to zero along a cosine. */
  readonly learningRate?: number;
  /** Learning rate of the gates (default 0.1 where the weights are frozen, else 5e-2) while there is a penalty. Afterwards they stay as they are, or, where the weights are frozen, learn at half of it, warmed up and down to zero. */
  readonly gateRate?: number;
  /** Longest example in tokens, as the model takes at most (default 512 or what it takes); longer ones are cut, and counted. */
  readonly maxLength?: number;
  /** Fraction of the data that is held out and scored before, during (where groups have just been turned off) and after (default 0.1, 8 examples at least), or examples of their own. */
  readonly heldOut?: number | readonly Example[];
  /**
   * Scores to rank groups by in place of learning them, from `importance` say: what falls short of the target is turned off at once, and all steps train
   * what stays. For comparison, with the same steps and optimiser.
   */
  readonly scores?: Scores;
  /** Seed of the order of the data. */
  readonly seed?: number;
  /** As `PruneOptions`: bounds of what may be turned off, with a target or without. */
  readonly even?: PruneOptions["even"];
  readonly minimum?: PruneOptions["minimum"];
  readonly dims?: PruneOptions["dims"];
  /** Whether latencies of dense, gated and pruned model are measured (default true). */
  readonly latency?: boolean;
  readonly onProgress?: (progress: LearnProgress) => void;
  readonly signal?: AbortSignal;
}
