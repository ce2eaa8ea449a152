import { constantLambda, type LambdaSchedule, warmupStableDecay } from "@dgate/core";
import { holdThenCosine, type LearningRateSchedule } from "@dgate/tfjs";
import type { LambdaScheduleName } from "./document.ts";
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

/** What λ can do over the steps, the default first: the experiment `gating-settings` shows what it is worth. */
export const lambdaSchedules: readonly LambdaScheduleName[] = ["up-and-down", "constant"];

/** λ of `dgate train`. */
export const penaltySchedule = ({
  lambda,
  lambdaSchedule,
}: Pick<TrainRequest, "lambda" | "lambdaSchedule">): LambdaSchedule =>
  lambdaSchedule === "constant" ? constantLambda(lambda) : warmupStableDecay(lambda);

/** Where the gradient flow stands after an epoch. */
export interface FlowPosition {
  /** t = Σ rate / (1 − momentum) over the steps. Adam has no such factor and gets the sum of the rates. */
  readonly time: number;
  /** ∫ λ dt. */
  readonly lambdaTime: number;
}

/** The position after each epoch, from the start on. */
export function flowPositions(
  request: Pick<
    TrainRequest,
    "lr" | "warmup" | "epochs" | "optimizer" | "momentum" | "lambda" | "lambdaSchedule"
  >,
  stepsPerEpoch: number,
): FlowPosition[] {
  const rate = rateSchedule(request);
  const lambda = penaltySchedule(request);
  const factor = request.optimizer === "sgd" ? 1 / (1 - request.momentum) : 1;
  let at: FlowPosition = { time: 0, lambdaTime: 0 };
  const positions = [at];
  for (let epoch = 0; epoch < request.epochs; epoch++) {
    for (let step = 0; step < stepsPerEpoch; step++) {
      const progress = (epoch + step / stepsPerEpoch) / request.epochs;
      const dt = factor * rate(progress);
      at = { time: at.time + dt, lambdaTime: at.lambdaTime + dt * lambda(progress) };
    }
    positions.push(at);
  }
  return positions;
}
