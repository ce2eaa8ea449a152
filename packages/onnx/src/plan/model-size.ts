/** Size of a model. */
export interface ModelSize {
  readonly parameters: number;
  readonly macs: number;
  /** Bytes of all constants. */
  readonly bytes: number;
}
