import { expandGroups } from "../groups/expand.ts";
import type { GroupSet } from "../groups/group-set.ts";
import type { TensorOps } from "../tensor-ops.ts";
import { collapse, depthOf, type Factors, gateProduct, squaredGroupNorms } from "./factors.ts";

// Smaller than any product of gates that float32 can tell from 0, and a normal number there: 0 / (0 + tiny) is 0.
const tiny = 1e-37;

/**
 * The balanced factors of the same weights: `γ_{j,d} = ‖w_j‖^{1/D}`, `ω_j = w_j / Π_d γ_{j,d}`. Closes the gap and
 * leaves w as it is; a zero group gets zero factors.
 */
export function balance<T>(ops: TensorOps<T>, set: GroupSet, factors: Factors<T>): Factors<T> {
  return balancedFactors(ops, set, collapse(ops, set, factors), depthOf(set, factors));
}

/** Balanced factors of given weights w (one tensor per member), see `balance`. */
export function balancedFactors<T>(
  ops: TensorOps<T>,
  set: GroupSet,
  weights: readonly T[],
  depth: number,
): Factors<T> {
  const gate = ops.pow(squaredGroupNorms(ops, set, weights), 1 / (2 * depth));
  const gates = Array.from({ length: depth - 1 }, () => gate);
  const divisor = ops.add(gateProduct(ops, gates), ops.scalar(tiny));
  const primary = set.members.map(({ layout, shape }, m) =>
    ops.div(weights[m]!, expandGroups(ops, layout, shape, divisor)),
  );
  return { primary, gates };
}
