/** What is trained: the gates alone, the gated weights too, or every weight. */
export type Trained = "gates" | "groups" | "all";

/** An array that is trained. */
export interface Parameter {
  readonly name: string;
  readonly shape: readonly number[];
  /** A copy of what it holds at first, made anew each time. */
  readonly initial: () => Float32Array;
  /** A gate, a weight that is in a group, or any other weight. */
  readonly kind: "gate" | "grouped" | "other";
}
