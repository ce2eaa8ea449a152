import { DgateError } from "@dgate/core";
import type { StepNumbers, StepResult } from "./updates.ts";

/** The error for a step that is not finite: says which, and what most likely made it so. */
export function divergence(
  result: StepResult,
  numbers: StepNumbers,
  before: StepResult | undefined,
): DgateError {
  const { loss, penalty, gradientNorm } = result;
  return new DgateError(
    "DIVERGED",
    `train: at step ${numbers.step} the loss is ${loss}, the penalty ${penalty} and the norm of the gradient ${gradientNorm}; ` +
      `${likelyCause(result, numbers, before)}. Parameters are as after step ${numbers.step - 1}.`,
  );
}

function likelyCause(
  { loss, penalty }: StepResult,
  { step, learningRate, gateRate, lambda }: StepNumbers,
  before: StepResult | undefined,
): string {
  const rates = `${learningRate}, gates ${gateRate}`;
  if (step === 1)
    return "the model itself gives this on the first batch: look at its weights and at the batch";
  if (lambda * Math.max(learningRate, gateRate) > 2) {
    // |1 − 2ηλ/D| > 1 for D = 2.
    return `the penalty makes weights grow where the learning rate (${rates}) times λ (${lambda}) is more than 2: lower either`;
  }
  if (!Number.isFinite(penalty)) {
    return `gates or gated weights have overflowed: lower the learning rate (${rates}) or λ (${lambda})`;
  }
  if (before && (before.gradientNorm > 1e3 || before.loss > 1e3 || loss > 1e3 * (1 + before.loss))) {
    return (
      `the step before had a loss of ${before.loss.toPrecision(3)} and a gradient of norm ${before.gradientNorm.toPrecision(3)}: ` +
      `lower the learning rate (${rates}), warm it up, or set clipNorm`
    );
  }
  if (Number.isFinite(loss)) {
    return "the loss is finite but its gradient is not: a logarithm, root or quotient at 0 is likely; look at what the model computes before the loss";
  }
  return `the learning rate (${rates}) is probably too high; lower it, warm it up, or set clipNorm`;
}
