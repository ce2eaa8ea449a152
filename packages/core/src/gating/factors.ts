import { checkDepth } from "../check.ts";
import { DgateError } from "../errors.ts";
import { expandGroups, sumGroups } from "../groups/expand.ts";
import type { GroupSet } from "../groups/group-set.ts";
import type { TensorOps } from "../tensor-ops.ts";

/** Gated weights of one group set: `w = ω · Π_d γ_d`, with depth D = `gates.length + 1`. */
export interface Factors<T> {
  /** Primary weights ω, one tensor per member, of the member's shape. */
  readonly primary: readonly T[];
  /** D − 1 gates γ_d, each `[groups]`. */
  readonly gates: readonly T[];
}

/** Depth D of the factors; throws `OPTION` without gates, `GROUP` if primary weights are missing. */
export function depthOf<T>(set: GroupSet, { primary, gates }: Factors<T>): number {
  checkDepth("factors", gates.length + 1);
  if (primary.length !== set.members.length) {
    throw new DgateError(
      "GROUP",
      `factors: ${primary.length} primary weights for ${set.members.length} members of the group set.`,
    );
  }
  return gates.length + 1;
}

/** π_j = Π_d γ_{j,d}, shape `[groups]`. */
export function gateProduct<T>(ops: TensorOps<T>, gates: readonly T[]): T {
  return productOf(ops, gates) ?? ops.scalar(1);
}

/** π_{j,−d} = Π_{e≠d} γ_{j,e} for each gate d; `undefined` where there is no other gate (D = 2). No division: gates may be 0. */
function otherGates<T>(ops: TensorOps<T>, gates: readonly T[]): (T | undefined)[] {
  return gates.map((_, d) => productOf(ops, gates.toSpliced(d, 1)));
}

function productOf<T>(ops: TensorOps<T>, factors: readonly T[]): T | undefined {
  return factors.length > 0 ? factors.reduce((a, b) => ops.mul(a, b)) : undefined;
}

/** Folds the gates into the weights: `w = ω · Π_d γ_d` for each member (Kolb et al. 2025, D-Gating). */
export function collapse<T>(ops: TensorOps<T>, set: GroupSet, factors: Factors<T>): T[] {
  depthOf(set, factors);
  const product = gateProduct(ops, factors.gates);
  return set.members.map(({ layout, shape }, m) =>
    ops.mul(factors.primary[m]!, expandGroups(ops, layout, shape, product)),
  );
}

/**
 * Chain rule from the weights to the factors: with `g = ∂L/∂w`,
 *
 *     ∂L/∂ω_j = π_j · g_j        ∂L/∂γ_{j,d} = π_{j,−d} · ⟨ω_j, g_j⟩
 *
 * @param gradients ∂L/∂w, one tensor per member
 */
export function factorGradients<T>(
  ops: TensorOps<T>,
  set: GroupSet,
  factors: Factors<T>,
  gradients: readonly T[],
): Factors<T> {
  const aligned = addAll(
    ops,
    set.members.map(({ layout, shape }, m) =>
      sumGroups(ops, layout, shape, ops.mul(factors.primary[m]!, gradients[m]!)),
    ),
  );
  return {
    primary: collapse(ops, set, { primary: gradients, gates: factors.gates }),
    gates: otherGates(ops, factors.gates).map((others) => (others ? ops.mul(others, aligned) : aligned)),
  };
}

/** ‖w_j‖² over all members, shape `[groups]`. */
export function squaredGroupNorms<T>(ops: TensorOps<T>, set: GroupSet, tensors: readonly T[]): T {
  return addAll(
    ops,
    set.members.map(({ layout, shape }, m) => sumGroups(ops, layout, shape, ops.square(tensors[m]!))),
  );
}

/** Sum of a non-empty list of tensors. */
export function addAll<T>(ops: TensorOps<T>, tensors: readonly T[]): T {
  return tensors.reduce((a, b) => ops.add(a, b));
}
