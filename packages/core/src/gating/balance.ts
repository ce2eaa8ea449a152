import { expandGroups } from "../groups/expand.ts";
import type { GroupSet } from "../groups/group-set.ts";
import type { TensorOps } from "../tensor-ops.ts";
import { collapse, depthOf, type Factors, squaredGroupNorms } from "./factors.ts";

// Smaller than any norm that float32 can tell from 0 (its square is at least 1e-45), and a normal number there.
const tiny = 1e-37;

/**
 * The balanced factors of the same weights: `γ_{j,d} = ‖w_j‖^{1/D}`, `ω_j = w_j / Π_d γ_{j,d}`. Closes the gap and
 * leaves w as it is; a zero group gets zero factors, and so does one whose squared norm is 0 in the type.
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
  const squares = squaredGroupNorms(ops, set, weights);
  const gate = ops.pow(squares, 1 / (2 * depth));
  const gates = Array.from({ length: depth - 1 }, () => gate);
  // ω = w·γ/‖w‖, which is w/Πγ: where the square of ‖w‖ underflows γ is 0, and so is ω. A quotient w/Πγ would blow up.
  const factor = ops.div(gate, ops.add(ops.sqrt(squares), ops.scalar(tiny)));
  const primary = set.members.map(({ layout, shape }, m) =>
    ops.mul(weights[m]!, expandGroups(ops, layout, shape, factor)),
  );
  return { primary, gates };
}
