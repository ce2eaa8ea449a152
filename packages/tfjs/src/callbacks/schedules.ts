import { DgateError, type LambdaSchedule } from "@dgate/core";
import type * as tf from "@tensorflow/tfjs";
import { setLambda } from "../gating/inspect.ts";
import { setLearningRate } from "../training/optimizer-state.ts";
import { ProgressCallback } from "./progress-callback.ts";

/** Learning rate over training: takes the progress in [0, 1]. */
export type LearningRateSchedule = (progress: number) => number;

/** Options of `holdThenCosine`. */
export interface HoldThenCosineOptions {
  /** Fraction of training after which the rate falls. Default 0.7. */
  readonly hold?: number;
  /** Fraction of training in which the rate rises from 0 in a straight line. Default 0; D ≥ 3 likes 0.02 to 0.1. */
  readonly warmup?: number;
  /** Rate at the end. Default 0. */
  readonly final?: number;
}

/** A rate that is held, then falls to `final` along half a cosine. */
export function holdThenCosine(
  rate: number,
  { hold = 0.7, warmup = 0, final = 0 }: HoldThenCosineOptions = {},
): LearningRateSchedule {
  if (!(warmup >= 0 && warmup <= hold && hold <= 1)) {
    throw new DgateError(
      "OPTION",
      `holdThenCosine: warmup is ${warmup} and hold is ${hold}, expected 0 ≤ warmup ≤ hold ≤ 1.`,
    );
  }
  return (progress) => {
    if (progress < warmup) return (rate * progress) / warmup;
    if (progress <= hold) return rate;
    const share = Math.min(1, (progress - hold) / (1 - hold));
    return final + ((rate - final) * (1 + Math.cos(Math.PI * share))) / 2;
  };
}

class LambdaCallback extends ProgressCallback {
  readonly #schedule: LambdaSchedule;
  readonly #sites: readonly string[] | undefined;

  constructor(schedule: LambdaSchedule, sites: readonly string[] | undefined) {
    super();
    this.#schedule = schedule;
    this.#sites = sites;
  }

  protected override apply(progress: number): void {
    setLambda(this.model, this.#schedule(progress), this.#sites);
  }
}

class LearningRateCallback extends ProgressCallback {
  readonly #schedule: LearningRateSchedule;

  constructor(schedule: LearningRateSchedule) {
    super();
    this.#schedule = schedule;
  }

  protected override apply(progress: number): void {
    setLearningRate(this.model.optimizer, this.#schedule(progress));
  }
}

/** Sets λ before every step, of all sites or of the named ones; `constantLambda`, `warmupStableDecay`, … make schedules. */
export function lambdaSchedule(
  schedule: LambdaSchedule,
  { sites }: { readonly sites?: readonly string[] } = {},
): tf.Callback {
  return new LambdaCallback(schedule, sites);
}

/** Sets the learning rate before every step. */
export function learningRateSchedule(schedule: LearningRateSchedule): tf.Callback {
  return new LearningRateCallback(schedule);
}
