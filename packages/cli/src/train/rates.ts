import { holdThenCosine, type LearningRateSchedule } from "@dgate/tfjs";
import type { TrainRequest } from "./request.ts";

/** Fraction of the steps in which the rate is held. */
const HOLD = 0.7;

/** The learning rate of `dgate train`: rises over the warm-up, is held until 70 % of the steps, then falls to 0 as half a cosine. */
export function rateSchedule({
  lr,
  warmup,
  epochs,
}: Pick<TrainRequest, "lr" | "warmup" | "epochs">): LearningRateSchedule {
  return holdThenCosine(lr, { hold: HOLD, warmup: Math.min(HOLD, warmup / epochs) });
}

/**
 * Time of the gradient flow after each epoch, from 0 at the start: t = Σ rate / (1 − momentum) over its steps. Adam has no such factor
 * and gets the sum of the rates.
 */
export function flowTimes(
  {
    optimizer,
    momentum,
    ...schedule
  }: Pick<TrainRequest, "lr" | "warmup" | "epochs" | "optimizer" | "momentum">,
  stepsPerEpoch: number,
): number[] {
  const rate = rateSchedule(schedule);
  const factor = optimizer === "sgd" ? 1 / (1 - momentum) : 1;
  const times = [0];
  for (let epoch = 0; epoch < schedule.epochs; epoch++) {
    let sum = 0;
    for (let step = 0; step < stepsPerEpoch; step++)
      sum += rate((epoch + step / stepsPerEpoch) / schedule.epochs);
    times.push(times[epoch]! + factor * sum);
  }
  return times;
}
