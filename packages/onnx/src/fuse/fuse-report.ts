/** What a place in a model computes: see `FusedPlace` and `SkippedPlace`. */
export type FusedPattern = "attention" | "normalisation" | "gelu";

/** A fused operator that was put in. */
export interface FusedPlace {
  readonly pattern: FusedPattern;
  /** With its domain, if that is not the standard one: `com.microsoft.MultiHeadAttention`. */
  readonly op: string;
  /** The new node. */
  readonly node: string;
  /** Of an attention layer. */
  readonly heads?: number;
}

/** A place that stays as it was. */
export interface SkippedPlace {
  readonly pattern: FusedPattern;
  /** A node of it: the Softmax of an attention layer, the ReduceMean of a normalisation, the Erf or Tanh of a Gelu. */
  readonly node: string;
  readonly reason: string;
}

/** What `fuse` did. */
export interface FuseReport {
  readonly fused: readonly FusedPlace[];
  /** Attention layers, normalisations and Gelus that were not fused, with the reason. */
  readonly skipped: readonly SkippedPlace[];
}
