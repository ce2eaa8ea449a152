import { DgateError } from "@dgate/core";
import { checkKnown, type KnownOptions } from "../known-options.ts";
import type { LearnOptions } from "./learn-options.ts";

const known: KnownOptions<LearnOptions> = {
  objective: true,
  target: true,
  lambda: true,
  train: true,
  steps: true,
  finish: true,
  rounds: true,
  batchSize: true,
  learningRate: true,
  gateRate: true,
  maxLength: true,
  heldOut: true,
  scores: true,
  seed: true,
  even: true,
  minimum: true,
  dims: true,
  latency: true,
  onProgress: true,
  signal: true,
};

const objectives = ["distill", "labels", "next-token", "embedding"] satisfies NonNullable<
  LearnOptions["objective"]
>[];
const trained = ["gates", "groups", "all"] satisfies NonNullable<LearnOptions["train"]>[];

/**
 * Looks at the options of `learn` that nothing else looks at.
 * @throws DgateError `OPTION`
 */
export function checkLearnOptions(options: LearnOptions): void {
  checkKnown("learn", options, known);
  oneOf("objective", options.objective, objectives);
  oneOf("train", options.train, trained);
  for (const name of ["steps", "rounds", "batchSize", "maxLength"] as const) whole(name, options[name], 1);
  for (const name of ["lambda", "learningRate", "gateRate"] as const) {
    const value = options[name];
    if (value !== undefined && !(value >= 0 && value < Infinity))
      refuse(name, value, "a number of at least 0");
  }
  const { finish, steps, rounds = 1, scores, target } = options;
  if (scores && !target)
    refuse("scores", "given without a target", "a target too: { target: { heads: 0.5 }, scores }");
  if (finish !== undefined && !(finish >= 0 && finish < 1)) {
    refuse("finish", finish, "the part of the steps without penalty, from 0 to below 1");
  }
  if (steps !== undefined && steps < 2 * rounds)
    refuse("steps", steps, `at least 2 for each of ${rounds} rounds`);
}

function oneOf(name: string, value: string | undefined, choices: readonly string[]): void {
  if (value !== undefined && !choices.includes(value)) refuse(name, value, `one of ${choices.join(", ")}`);
}

function whole(name: string, value: number | undefined, least: number): void {
  if (value !== undefined && (!Number.isSafeInteger(value) || value < least)) {
    refuse(name, value, `a whole number of at least ${least}`);
  }
}

function refuse(name: string, value: unknown, expected: string): never {
  throw new DgateError("OPTION", `learn: ${name} is ${String(value)}, expected ${expected}.`);
}
