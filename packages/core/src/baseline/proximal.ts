import { arrayOps } from "../arrays/array-ops.ts";
import type { NdArray } from "../arrays/nd-array.ts";
import { checkNumber } from "../check.ts";
import { DgateError } from "../errors.ts";
import { squaredGroupNorms } from "../gating/factors.ts";
import { expandGroups } from "../groups/expand.ts";
import type { GroupSet } from "../groups/group-set.ts";

/** Depths whose sparse penalty has a proximal operator in closed form. */
export type ProximalDepth = 2 | 3 | 4;

const closedForms: { readonly [depth in ProximalDepth]: (r: number, t: number) => number } = {
  // q = 1, soft threshold: x = r − t.
  2: (r, t) => Math.max(0, r - t),
  3: proxTwoThirds,
  4: proxHalf,
};

/**
 * Proximal operator of `t·|x|^{2/D}` at r ≥ 0: the global minimiser of `½(x − r)² + t·x^{2/D}` over x ≥ 0, in closed
 * form: soft threshold (D = 2), quartic (D = 3, Cao, Sun and Xu 2013), half threshold (D = 4, Xu et al. 2012).
 *
 * @param r norm, ≥ 0
 * @param t ≥ 0
 */
export function proximalNorm(r: number, t: number, depth: ProximalDepth): number {
  checkNumber("proximalNorm", "r", r, 0);
  checkNumber("proximalNorm", "t", t, 0);
  if (!Object.hasOwn(closedForms, depth)) {
    throw new DgateError("OPTION", `proximalNorm: depth is ${String(depth)}, expected 2, 3 or 4.`);
  }
  return t === 0 ? r : closedForms[depth](r, t);
}

/**
 * `x^{2/3}`: with y = x^{1/3} the stationary points solve `y⁴ − r·y + s = 0`, s = 2t/3. Ferrari: with the real root m
 * of the resolvent `m³ − s·m − r²/8 = 0` the largest root is `y = (a + √(2r/a − a²)) / 2`, a = √(2m). It beats x = 0
 * when r > 2·s^{3/4}.
 */
function proxTwoThirds(r: number, t: number): number {
  const s = (2 * t) / 3;
  if (r <= 2 * s ** 0.75) return 0;
  const half = (r * r) / 16;
  const u = Math.cbrt(half + Math.sqrt(half * half - (s / 3) ** 3));
  const a = Math.sqrt(2 * (u + s / (3 * u)));
  return ((a + Math.sqrt((2 * r) / a - a * a)) / 2) ** 3;
}

/**
 * `x^{1/2}`: the largest stationary point is `x = (2r/3)·(1 + cos(2π/3 − 2φ/3))`, `cos φ = (t/4)·(r/3)^{−3/2}`; it beats
 * x = 0 when r > (3/2)·t^{2/3}.
 */
function proxHalf(r: number, t: number): number {
  if (r <= 1.5 * t ** (2 / 3)) return 0;
  const phi = Math.acos((t / 4) * (r / 3) ** -1.5);
  return ((2 * r) / 3) * (1 + Math.cos((2 * (Math.PI - phi)) / 3));
}

/**
 * Proximal step of the sparse penalty: each group w_j shrinks along its direction to
 * `argmin_x ½‖x − w_j‖² + t·s_j·‖x‖₂^{2/D}`. A zero group stays zero.
 *
 * @param weights w, one tensor per member; not changed
 * @param t step size times λ
 */
export function proximalStep(
  set: GroupSet,
  weights: readonly NdArray[],
  t: number,
  depth: ProximalDepth,
): NdArray[] {
  const ops = arrayOps(weights[0]?.data instanceof Float32Array ? "float32" : "float64");
  const norms = Array.from(squaredGroupNorms(ops, set, weights).data, Math.sqrt);
  const factors = norms.map((r, j) => (r > 0 ? proximalNorm(r, t * set.weights[j]!, depth) / r : 0));
  const perGroup = ops.constant(factors, [set.groups]);
  return set.members.map(({ layout, shape }, m) =>
    ops.mul(weights[m]!, expandGroups(ops, layout, shape, perGroup)),
  );
}
