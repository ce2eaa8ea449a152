import { checkNumber } from "../check.ts";
import { DgateError } from "../errors.ts";

/** Options of `targetSparsityController`. */
export interface TargetSparsityOptions {
  /** Wanted fraction of active groups, in (0, 1). */
  readonly target: number;
  /** λ to start from (default 1e-4). */
  readonly lambda?: number;
  /** How fast log λ follows the error (default 1: an error of 0.1 changes λ by about 10 % an update). */
  readonly gain?: number;
  /** How many updates the trend of the active fraction is extrapolated (default 4). */
  readonly lookahead?: number;
  /** Bounds of λ (default 1e-8 and 1). */
  readonly minimum?: number;
  readonly maximum?: number;
}

/** All that a controller remembers: plain data, to be stored in checkpoints. */
export interface TargetSparsityState {
  readonly lambda: number;
  /** Active fraction of the last update; `null` before the first. */
  readonly last: number | null;
}

/** Adapts λ until the wanted fraction of groups is active. */
export interface TargetSparsityController {
  /** λ for the next steps. */
  readonly lambda: number;
  /** Takes the measured fraction of active groups in [0, 1], at even intervals (each epoch), and returns the new λ. */
  update(activeFraction: number): number;
  state(): TargetSparsityState;
  /** Continues from a state. */
  restore(state: TargetSparsityState): void;
}

/**
 * Feedback on λ: `log λ += gain · e`, where e is the error expected `lookahead` updates ahead if the trend goes on,
 * `e = a + lookahead · (a − a_last) − target`. Groups die late and do not come back, so an overshoot would stay: the
 * look-ahead lowers λ while the active fraction is still falling towards the target.
 */
export function targetSparsityController(options: TargetSparsityOptions): TargetSparsityController {
  const { target, gain = 1, lookahead = 4, minimum = 1e-8, maximum = 1 } = options;
  const where = "targetSparsityController";
  checkNumber(where, "minimum", minimum, Number.MIN_VALUE);
  checkNumber(where, "maximum", maximum, minimum);
  checkNumber(where, "gain", gain, 0);
  checkNumber(where, "lookahead", lookahead, 0);
  checkNumber(where, "lambda", options.lambda ?? minimum, minimum, maximum);
  if (!(target > 0 && target < 1)) {
    throw new DgateError(
      "OPTION",
      `${where}: target is ${target}, expected a fraction of groups between 0 and 1.`,
    );
  }
  let lambda = options.lambda ?? Math.min(maximum, Math.max(minimum, 1e-4));
  let last: number | null = null;
  return {
    get lambda() {
      return lambda;
    },
    update(activeFraction) {
      checkNumber(where, "activeFraction", activeFraction, 0, 1);
      const trend = last === null ? 0 : activeFraction - last;
      const error = activeFraction + lookahead * trend - target;
      last = activeFraction;
      lambda = Math.min(maximum, Math.max(minimum, lambda * Math.exp(gain * error)));
      return lambda;
    },
    state: () => ({ lambda, last }),
    restore(state) {
      checkNumber(where, "state.lambda", state.lambda, minimum, maximum);
      if (state.last !== null) checkNumber(where, "state.last", state.last, 0, 1);
      lambda = state.lambda;
      last = state.last;
    },
  };
}
