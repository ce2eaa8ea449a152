import { DgateError } from "@dgate/core";
import { isTarget } from "./steering.ts";
import type { FitOptions, TrainerOptions } from "./trainer-options.ts";

const choices = {
  train: ["gates", "groups", "all"],
  updates: ["graph", "host"],
  groupWeights: ["none", "sqrt-size"],
} as const;

/**
 * Looks at the options of `openTrainer` that nothing else looks at.
 * @throws DgateError `OPTION`
 */
export function checkTrainerOptions(options: TrainerOptions): void {
  for (const name of ["train", "updates", "groupWeights"] as const) {
    const value = options[name];
    const known: readonly string[] = choices[name];
    if (value !== undefined && !known.includes(value)) refuse(name, value, `one of ${known.join(", ")}`);
  }
  const { clipNorm, lambda } = options;
  if (clipNorm !== undefined && !(clipNorm > 0)) refuse("clipNorm", clipNorm, "a positive number");
  if (isTarget(lambda)) checkCount("lambda.every", lambda.every, 1);
}

/**
 * Looks at the options of `Trainer.fit`.
 * @throws DgateError `OPTION`
 */
export function checkFitOptions({ steps, checkpoint }: FitOptions): void {
  checkCount("steps", steps, 0);
  checkCount("checkpoint.every", checkpoint?.every, 1);
}

function checkCount(name: string, value: number | undefined, least: number): void {
  if (value === undefined || (Number.isSafeInteger(value) && value >= least)) return;
  refuse(name, value, `a whole number of at least ${least}`);
}

function refuse(name: string, value: unknown, expected: string): never {
  throw new DgateError("OPTION", `train: ${name} is ${String(value)}, expected ${expected}.`);
}
