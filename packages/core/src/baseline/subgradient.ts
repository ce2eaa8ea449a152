import { checkNumber } from "../check.ts";
import { squaredGroupNorms } from "../gating/factors.ts";
import { expandGroups } from "../groups/expand.ts";
import type { GroupSet } from "../groups/group-set.ts";
import type { TensorOps } from "../tensor-ops.ts";

/**
 * Sub-gradient of the sparse penalty itself, `λ Σ_j s_j ‖w_j‖₂^q`: `λ·s_j·q·‖w_j‖^{q−2}·w_j`, and 0 at w_j = 0. The
 * baseline that D-Gating is compared with: followed by SGD it does not reach zero.
 *
 * @param weights w, one tensor per member
 * @param exponent q in (0, 1]; 2/D for depth D
 * @returns one tensor per member; 0 at elements of no group
 */
export function directSubgradient<T>(
  ops: TensorOps<T>,
  set: GroupSet,
  weights: readonly T[],
  lambda: number,
  exponent: number,
): T[] {
  checkNumber("directSubgradient", "lambda", lambda, 0);
  checkNumber("directSubgradient", "exponent", exponent, Number.MIN_VALUE, 1);
  // The power of 0 would be infinite; with 1e-37 (normal in float32) it is finite and meets w = 0.
  const squares = ops.add(squaredGroupNorms(ops, set, weights), ops.scalar(1e-37));
  const slope = ops.mul(
    ops.pow(squares, exponent / 2 - 1),
    ops.constant(
      set.weights.map((weight) => weight * lambda * exponent),
      [set.groups],
    ),
  );
  return set.members.map(({ layout, shape }, m) =>
    ops.mul(weights[m]!, expandGroups(ops, layout, shape, slope, 0)),
  );
}
