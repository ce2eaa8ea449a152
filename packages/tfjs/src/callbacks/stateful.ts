/** A callback whose memory belongs into a checkpoint. The state is plain JSON. */
export interface StatefulCallback {
  /** Tells the states in a checkpoint apart. */
  readonly stateName: string;
  saveState(): unknown;
  /** Takes what `saveState` gave; throws `FORMAT` for anything else. */
  loadState(state: unknown): void;
}
