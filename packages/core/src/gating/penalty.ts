import { checkDepth, checkNumber } from "../check.ts";
import { expandGroups } from "../groups/expand.ts";
import type { GroupSet } from "../groups/group-set.ts";
import { isPartial } from "../groups/layout.ts";
import type { TensorOps } from "../tensor-ops.ts";
import { addAll, depthOf, type Factors, squaredGroupNorms } from "./factors.ts";

/**
 * Smooth D-Gating penalty: plain L2 on the primary weights and the gates (Kolb et al. 2025, smooth objective),
 *
 *     R(ω, Γ) = (λ / D) · Σ_j s_j · ( ‖ω_j‖² + Σ_d γ_{j,d}² )  ≥  λ · Σ_j s_j · ‖w_j‖^{2/D}
 *
 * with equality at balance. Elements of no group are not penalised.
 *
 * @param lambda λ ≥ 0, a number or a scalar tensor
 * @returns scalar, ≥ 0
 */
export function smoothPenalty<T>(
  ops: TensorOps<T>,
  set: GroupSet,
  factors: Factors<T>,
  lambda: number | T,
): T {
  const depth = depthOf(set, factors);
  const whole = isUniform(set) && !set.members.some(({ layout }) => isPartial(layout));
  // Without group weights the groups need not be told apart: one sum per tensor.
  const squares = whole
    ? [...factors.primary, ...factors.gates].map((x) => ops.sum(ops.square(x)))
    : [squaredGroupNorms(ops, set, factors.primary), ...factors.gates.map((gate) => ops.square(gate))];
  const total = addAll(ops, squares);
  return timesLambda(ops, whole ? total : weightedSum(ops, set.weights, total), lambda, 1 / depth);
}

/**
 * Gradient of the smooth penalty: `∂R/∂ω_j = (2λ/D) · s_j · ω_j` (0 for elements of no group) and
 * `∂R/∂γ_{j,d} = (2λ/D) · s_j · γ_{j,d}`.
 */
export function smoothPenaltyGradient<T>(
  ops: TensorOps<T>,
  set: GroupSet,
  factors: Factors<T>,
  lambda: number | T,
): Factors<T> {
  const depth = depthOf(set, factors);
  const weights = isUniform(set) ? undefined : ops.constant(set.weights, [set.groups]);
  const gradient = (x: T): T => timesLambda(ops, x, lambda, 2 / depth);
  return {
    primary: set.members.map(({ layout, shape }, m) => {
      const omega = factors.primary[m]!;
      if (!weights && !isPartial(layout)) return gradient(omega);
      const perGroup = weights ?? ops.constant(set.weights, [set.groups]);
      return gradient(ops.mul(omega, expandGroups(ops, layout, shape, perGroup, 0)));
    }),
    gates: factors.gates.map((gate) => gradient(weights ? ops.mul(gate, weights) : gate)),
  };
}

/**
 * Sparse penalty of ungated weights: `λ · Σ_j s_j · ‖w_j‖₂^{2/D}` (D = 2 group lasso L_{2,1}, 3 L_{2,2/3}, 4 L_{2,1/2}).
 *
 * @param weights w, one tensor per member
 * @returns scalar, ≥ 0; not differentiable where a group is zero
 */
export function sparsePenalty<T>(
  ops: TensorOps<T>,
  set: GroupSet,
  weights: readonly T[],
  lambda: number | T,
  depth: number,
): T {
  checkDepth("sparsePenalty", depth);
  const norms = ops.pow(squaredGroupNorms(ops, set, weights), 1 / depth);
  return timesLambda(ops, weightedSum(ops, set.weights, norms), lambda, 1);
}

/**
 * Smooth minus sparse penalty: per group λ·s_j times the arithmetic minus the geometric mean of the D squares
 * ‖ω_j‖², γ_{j,1}², …; ≥ 0 by AM–GM (up to rounding) and 0 iff they are equal (balance).
 */
export function penaltyGap<T>(ops: TensorOps<T>, set: GroupSet, factors: Factors<T>, lambda: number | T): T {
  const depth = depthOf(set, factors);
  const squares = factorSquares(ops, set, factors);
  const arithmetic = ops.scale(addAll(ops, squares), 1 / depth);
  // Roots before the product: squares of dying groups would underflow when multiplied.
  const geometric = squares.map((x) => ops.pow(x, 1 / depth)).reduce((a, b) => ops.mul(a, b));
  return timesLambda(ops, weightedSum(ops, set.weights, ops.sub(arithmetic, geometric)), lambda, 1);
}

/** r_{j,d} = ‖ω_j‖² − γ_{j,d}²: D − 1 tensors `[groups]`, all 0 at balance. Decays as exp(−4λt/D) under gradient flow. */
export function imbalance<T>(ops: TensorOps<T>, set: GroupSet, factors: Factors<T>): T[] {
  depthOf(set, factors);
  const [omega, ...gates] = factorSquares(ops, set, factors);
  return gates.map((gate) => ops.sub(omega!, gate));
}

/**
 * Penalty when only K gates are trained and ω is frozen: `(λ/K) · Σ_j s_j · Σ_k γ_{j,k}²  ≥  λ · Σ_j s_j · |Π_k γ_{j,k}|^{2/K}`,
 * with equality when the |γ_{j,k}| of a group are equal.
 *
 * @param gates K ≥ 1 tensors `[groups]`
 * @param weights s_j, 1 if left out
 */
export function frozenPenalty<T>(
  ops: TensorOps<T>,
  gates: readonly T[],
  lambda: number | T,
  weights?: readonly number[],
): T {
  checkNumber("frozenPenalty", "the number of gates", gates.length, 1);
  const squares = addAll(
    ops,
    gates.map((gate) => ops.square(gate)),
  );
  return timesLambda(
    ops,
    weights ? weightedSum(ops, weights, squares) : ops.sum(squares),
    lambda,
    1 / gates.length,
  );
}

/** Gradient of the penalty of frozen weights: `∂/∂γ_{j,k} = (2λ/K) · s_j · γ_{j,k}`, one tensor `[groups]` per gate. */
export function frozenPenaltyGradient<T>(
  ops: TensorOps<T>,
  gates: readonly T[],
  lambda: number | T,
  weights?: readonly number[],
): T[] {
  checkNumber("frozenPenaltyGradient", "the number of gates", gates.length, 1);
  const uniform = weights?.every((weight) => weight === 1) ?? true;
  const perGroup = uniform ? undefined : ops.constant(weights!, [weights!.length]);
  return gates.map((gate) =>
    timesLambda(ops, perGroup ? ops.mul(gate, perGroup) : gate, lambda, 2 / gates.length),
  );
}

/** ‖ω_j‖², γ_{j,1}², …, γ_{j,D−1}²: D tensors `[groups]`. */
function factorSquares<T>(ops: TensorOps<T>, set: GroupSet, factors: Factors<T>): T[] {
  return [squaredGroupNorms(ops, set, factors.primary), ...factors.gates.map((gate) => ops.square(gate))];
}

function isUniform(set: GroupSet): boolean {
  return set.weights.every((weight) => weight === 1);
}

function weightedSum<T>(ops: TensorOps<T>, weights: readonly number[], perGroup: T): T {
  const uniform = weights.every((weight) => weight === 1);
  return ops.sum(uniform ? perGroup : ops.mul(perGroup, ops.constant(weights, [weights.length])));
}

function timesLambda<T>(ops: TensorOps<T>, x: T, lambda: number | T, factor: number): T {
  if (typeof lambda === "number") {
    checkNumber("penalty", "lambda", lambda, 0);
    return ops.scale(x, lambda * factor);
  }
  // The factor goes to the scalar, not through x once more.
  return ops.mul(x, factor === 1 ? lambda : ops.scale(lambda, factor));
}
