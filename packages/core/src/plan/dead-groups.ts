import { checkNumber } from "../check.ts";
import { DgateError } from "../errors.ts";

/** When a group is called dead. */
export interface DeadGroupOptions {
  /** A group is dead when its norm is at most this … (default 1e-6) */
  readonly absolute?: number;
  /** … or at most this fraction of the largest norm (default 1e-2). */
  readonly relative?: number;
  /** Groups whose norm is within this factor of the threshold, on either side, count as near it (default 2). */
  readonly nearFactor?: number;
  /** At least this many groups are kept: if need be, the strongest of the dead ones (default 1). */
  readonly keepAtLeast?: number;
}

/** Which groups of a site stay. Indices are ascending. */
export interface DeadGroups {
  readonly kept: readonly number[];
  readonly dead: readonly number[];
  /** How many groups lie within `nearFactor` of the threshold: a decision that could have gone the other way. */
  readonly near: number;
  /** τ: a group is dead when its norm is at most τ. */
  readonly threshold: number;
  /** How many groups are under the threshold and stay only because of `keepAtLeast`. */
  readonly rescued: number;
}

/**
 * Splits groups at the threshold `τ = max(absolute, relative · max_j ‖w_j‖)`.
 *
 * @param norms ‖w_j‖ ≥ 0 of each group
 */
export function findDeadGroups(norms: ArrayLike<number>, options: DeadGroupOptions = {}): DeadGroups {
  const { absolute = 1e-6, relative = 1e-2, nearFactor = 2, keepAtLeast = 1 } = options;
  checkNumber("findDeadGroups", "absolute", absolute, 0);
  checkNumber("findDeadGroups", "relative", relative, 0, 1);
  checkNumber("findDeadGroups", "nearFactor", nearFactor, 1);
  checkNumber("findDeadGroups", "keepAtLeast", keepAtLeast, 0);
  const values = Array.from(norms);
  const bad = values.findIndex((norm) => !(norm >= 0 && norm < Infinity));
  if (bad !== -1) {
    throw new DgateError(
      "DATA",
      `findDeadGroups: the norm of group ${bad} is ${values[bad]}; did training diverge?`,
    );
  }
  const threshold = values.reduce((tau, norm) => Math.max(tau, relative * norm), absolute);
  const alive = values.filter((norm) => norm > threshold).length;
  const rescued = Math.max(0, Math.min(keepAtLeast, values.length) - alive);
  const strongestFirst = values.map((_, j) => j).sort((a, b) => values[b]! - values[a]!);
  const kept = new Set(strongestFirst.slice(0, alive + rescued));
  return {
    kept: values.flatMap((_, j) => (kept.has(j) ? [j] : [])),
    dead: values.flatMap((_, j) => (kept.has(j) ? [] : [j])),
    near: values.filter((norm) => norm >= threshold / nearFactor && norm <= threshold * nearFactor).length,
    threshold,
    rescued,
  };
}
