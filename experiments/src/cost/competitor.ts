/** A network in training: plain, or gated at some depth. */
export interface Competitor {
  /** Numbers that are trained. */
  readonly parameters: number;
  /** One step, loss read back; the loss as the engine tells it. */
  step(): Promise<number>;
  /** The loss of the first step, without the penalty. */
  firstLoss(): Promise<number>;
  /** What the optimiser remembers, bytes; known after a step. */
  optimizerBytes(): number;
  /** Most bytes that a step holds, parameters and optimiser included. */
  peakBytes(): Promise<number>;
  dispose(): Promise<void>;
}

/** Where competitors train. */
export interface CostEngine {
  /** What computes, for people. */
  readonly device: string;
  /** @param depth D; 1 is plain training, without gates and penalty */
  readonly open: (depth: number) => Promise<Competitor>;
}

/** How all of them train. */
export const training = { lambda: 1e-4, learningRate: 1e-3, momentum: 0.9 };

export const floatBytes = 4;
