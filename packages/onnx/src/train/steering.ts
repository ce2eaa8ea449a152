import { findDeadGroups, type TargetSparsityController, targetSparsityController } from "@dgate/core";
import type { SetNorms } from "./learned-model.ts";
import type { TargetSparsity, TrainerOptions } from "./trainer-options.ts";

/** Damping of the controller of λ for looks every few steps, and where λ starts: with so little gain, 1e-4 would take long to grow. */
const gentle = { gain: 0.2, lookahead: 25, lambda: 1e-3 };

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

/** What to say where more groups are alive than λ was steered to; `undefined` if the target is reached or there is none. */
export function missedTarget(
  lambda: TrainerOptions["lambda"],
  sets: readonly SetNorms[],
  reached: number | undefined,
): string | undefined {
  if (!isTarget(lambda)) return undefined;
  const active = activeFraction(sets);
  if (active <= lambda.target * 1.1) return undefined;
  return (
    `${(100 * active).toFixed(0)} % of the groups are alive, the target is ${(100 * lambda.target).toFixed(0)} %; ` +
    `train longer, or start from a larger λ than ${reached?.toPrecision(2) ?? "now"}: { target: ${lambda.target}, lambda: … }.`
  );
}
