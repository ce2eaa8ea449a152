import type { LearnOptions, LearnProgress } from "./learn-options.ts";
import type { Quality } from "./learn-report.ts";

/** Steps in all, where the caller gives none. */
const defaultSteps = 300;

/** Counts the steps of all rounds and phases, keeps what they gave, and tells the caller. */
export class Progress {
  readonly steps: number;
  readonly losses: number[] = [];
  readonly evaluations: { step: number; quality: Quality }[] = [];
  readonly #tell: LearnOptions["onProgress"];
  #round = 0;
  #phase: LearnProgress["phase"] = "encode";

  constructor({ steps = defaultSteps, onProgress }: LearnOptions) {
    this.steps = steps;
    this.#tell = onProgress;
  }

  /** Steps done. */
  get done(): number {
    return this.losses.length;
  }

  enter(phase: LearnProgress["phase"], round: number = this.#round): void {
    this.#phase = phase;
    this.#round = round;
    this.#report({});
  }

  step({
    loss,
    ...rest
  }: {
    readonly loss: number;
    readonly lambda: number;
    readonly active?: number;
  }): void {
    this.losses.push(loss);
    this.#report({ loss, ...rest });
  }

  evaluated(quality: Quality): void {
    this.evaluations.push({ step: this.done, quality });
    this.#report({ quality });
  }

  #report(more: Partial<LearnProgress>): void {
    this.#tell?.({ phase: this.#phase, step: this.done, steps: this.steps, round: this.#round, ...more });
  }
}
