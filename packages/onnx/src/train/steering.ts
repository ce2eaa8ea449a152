import { findDeadGroups, type TargetSparsityController, targetSparsityController } from "@dgate/core";
import type { SetNorms } from "./learned-model.ts";
import type { TargetSparsity, TrainerOptions } from "./trainer-options.ts";

/** Damping of the controller of λ for looks every few steps. */
const gentle = { gain: 0.2, lookahead: 25 };

/** Whether λ is steered to a target. */
export const isTarget = (lambda: TrainerOptions["lambda"]): lambda is TargetSparsity =>
  typeof lambda === "object";

/** The controller of λ; `undefined` where λ is not steered. */
export const controllerOf = (lambda: TrainerOptions["lambda"]): TargetSparsityController | undefined =>
  isTarget(lambda) ? targetSparsityController({ ...gentle, ...lambda }) : undefined;

/** Whether the groups are looked at after a step. */
export const looksAfter = (lambda: TrainerOptions["lambda"], step: number): boolean =>
  isTarget(lambda) && step % (lambda.every ?? 20) === 0;

/** The fraction of groups that are alive. */
export function activeFraction(sets: readonly SetNorms[]): number {
  const total = sets.reduce((sum, { norms }) => sum + norms.length, 0);
  const alive = sets.reduce((sum, { norms }) => {
    const { threshold } = findDeadGroups(norms);
    return sum + norms.filter((norm) => norm > threshold).length;
  }, 0);
  return alive / total;
}
