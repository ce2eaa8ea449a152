import type { OrtTensor } from "../runtime/ort-module.ts";

/** Tensors of the runtime by name. */
export type OrtTensors = Record<string, OrtTensor>;

/** The numbers of one step. */
export interface StepNumbers {
  readonly lambda: number;
  readonly learningRate: number;
  /** Learning rate of the gates. */
  readonly gateRate: number;
  /** Number of the step, from 1 on: Adam's corrections ask for it. */
  readonly step: number;
}

/** What a step came to. */
export interface StepResult {
  readonly loss: number;
  readonly penalty: number;
  /** ‖∇(loss + penalty)‖ over all parameters, before clipping. */
  readonly gradientNorm: number;
}

/**
 * Runs steps and holds parameters and the optimiser's memory between them. A step whose loss or gradient is not finite changes
 * nothing.
 */
export interface Updates {
  /** `graph`: updates are nodes of the training graph. `host`: they are loops over typed arrays. */
  readonly kind: "graph" | "host";
  step(batch: OrtTensors, numbers: StepNumbers): Promise<StepResult>;
  /** Copies of all parameters and slots, by name. */
  read(): Promise<Map<string, Float32Array>>;
  /** Puts arrays in their place; names that are left out keep their content. */
  write(arrays: ReadonlyMap<string, Float32Array>): void;
  /** Bytes of parameters, slots and gradients. */
  readonly stateBytes: number;
  dispose(): Promise<void>;
}

/** Whether a step may be applied. */
export const isSound = ({ loss, penalty, gradientNorm }: StepResult): boolean =>
  Number.isFinite(loss) && Number.isFinite(penalty) && Number.isFinite(gradientNorm);
