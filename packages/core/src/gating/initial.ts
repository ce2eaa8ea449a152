import { arrayOps } from "../arrays/array-ops.ts";
import { type FloatArray, type NdArray, ndArray } from "../arrays/nd-array.ts";
import type { RandomGenerator } from "../arrays/random.ts";
import { checkDepth } from "../check.ts";
import { DgateError } from "../errors.ts";
import { expandGroups } from "../groups/expand.ts";
import type { GroupSet } from "../groups/group-set.ts";
import { balancedFactors } from "./balance.ts";
import { type Factors, squaredGroupNorms } from "./factors.ts";

/**
 * How factors start.
 *
 * - `ones`: γ = 1, ω = w. The weights are unchanged; the gap is open.
 * - `balanced`: γ_{j,d} = ‖w_j‖^{1/D}. The weights are unchanged; the gap is closed.
 * - `variance-matched`: random gates for training from scratch; the weights have the variance of the given ones.
 */
export type InitialScheme = "ones" | "balanced" | "variance-matched";

/** Options of `initialFactors`. */
export interface InitialOptions {
  readonly depth: number;
  /** Default `balanced`. */
  readonly scheme?: InitialScheme;
  /** Needed by `variance-matched`. */
  readonly random?: RandomGenerator;
}

/**
 * Factors to start training from, given the weights of an initialiser or of a trained model.
 *
 * @param weights w, one array per member, row-major; not changed
 * @returns arrays of the type given: ω per member and D − 1 gates `[groups]`
 */
export function initialFactors<A extends FloatArray>(
  set: GroupSet,
  weights: readonly A[],
  { depth, scheme = "balanced", random }: InitialOptions,
): Factors<A> {
  checkDepth("initialFactors", depth);
  if (weights.length !== set.members.length) {
    throw new DgateError(
      "GROUP",
      `initialFactors: ${weights.length} arrays for ${set.members.length} members.`,
    );
  }
  const tensors = set.members.map(({ shape }, m) => ndArray(weights[m]!, shape));
  const factors = build(set, tensors, depth, scheme, random);
  const single = weights[0] instanceof Float32Array;
  // `single` says which of the two array types A is.
  const cast = (x: NdArray): A => (single ? Float32Array : Float64Array).from(x.data) as A;
  return { primary: factors.primary.map(cast), gates: factors.gates.map(cast) };
}

function build(
  set: GroupSet,
  weights: readonly NdArray[],
  depth: number,
  scheme: InitialScheme,
  random: RandomGenerator | undefined,
): Factors<NdArray> {
  const ops = arrayOps("float64");
  const gates = (value: (j: number) => number): NdArray[] =>
    Array.from({ length: depth - 1 }, () =>
      ops.constant(
        Array.from({ length: set.groups }, (_, j) => value(j)),
        [set.groups],
      ),
    );
  switch (scheme) {
    case "ones":
      return { primary: weights, gates: gates(() => 1) };
    case "balanced":
      return balancedFactors(ops, set, weights, depth);
    case "variance-matched": {
      if (!random) {
        throw new DgateError("OPTION", `initialFactors: scheme "variance-matched" needs a random generator.`);
      }
      const scales = factorScales(set, weights, depth);
      const primary = set.members.map(({ layout, shape }, m) => {
        const shrink = ops.constant(
          scales.map((c) => c ** (1 - depth)),
          [set.groups],
        );
        return ops.mul(weights[m]!, expandGroups(ops, layout, shape, shrink));
      });
      return { primary, gates: gates((j) => scales[j]! * unitGate(random)) };
    }
    default:
      throw new DgateError(
        "OPTION",
        `initialFactors: scheme is "${String(scheme)}", expected "ones", "balanced" or "variance-matched".`,
      );
  }
}

/** c_j with c_j^D = √(p_j · mean w²), the expected norm of a group: each factor carries an equal share of it. */
function factorScales(set: GroupSet, weights: readonly NdArray[], depth: number): number[] {
  const ops = arrayOps("float64");
  const elements = set.sizes.reduce((a, b) => a + b);
  const variance = ops.sum(squaredGroupNorms(ops, set, weights)).data[0]! / elements;
  return set.sizes.map((size) => (variance > 0 ? (size * variance) ** (0.5 / depth) : 1));
}

/** Random sign times a modulus uniform on [1/2, b] with mean square 1, so that no group starts near zero. */
function unitGate(random: RandomGenerator): number {
  const upper = (Math.sqrt(45) - 1) / 4;
  const modulus = 0.5 + (upper - 0.5) * random.next();
  return random.next() < 0.5 ? -modulus : modulus;
}
