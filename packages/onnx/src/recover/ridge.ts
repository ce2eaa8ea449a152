import { factorise, solveFactored } from "./cholesky.ts";
import type { NormalEquations } from "./normal-equations.ts";

/** Weights that fit, and the ridge that it took. */
export interface RidgeFit {
  /** `[m, k]` */
  readonly weights: Float64Array;
  readonly ridge: number;
}

/** The smallest ridge that is tried where none was asked for, and the largest that makes sense. */
const [leastRidge, largestRidge] = [1e-10, 1e3];

/**
 * Ridge least squares towards given weights (Hoerl and Kennard, 1970; Tikhonov with a prior mean):
 *
 *     w = argmin Σ‖w·x − y‖² + ‖(w − w₀)·Λ^½‖²     ⇔     (G + Λ)·(w − w₀) = c − G·w₀
 *
 * with Λ = ridge · mean diagonal of G on every weight. A bias is measured in other units than the weights, so its own
 * diagonal element (the number of samples) takes the place of the mean. With Λ > 0 the error of w is never above that of w₀. If
 * G + Λ is not positive definite, the ridge grows tenfold until it is.
 *
 * @param weights w₀, `[m, k]`
 * @param bias whether the last input is the constant 1 of a bias
 * @returns `undefined` if no ridge up to 1000 helps (all inputs are zero)
 */
export function fitRidge(
  equations: NormalEquations,
  weights: Float64Array,
  ridge: number,
  bias: boolean,
): RidgeFit | undefined {
  const { gram, inputs: k } = equations;
  const weighted = bias ? k - 1 : k;
  let mean = 0;
  for (let i = 0; i < weighted; i++) mean += gram[i * k + i]! / weighted;
  const step = equations.gradient(weights).map((value) => -value);
  for (let used = ridge; used <= Math.max(largestRidge, ridge); used = Math.max(leastRidge, 10 * used)) {
    const matrix = gram.slice();
    for (let i = 0; i < weighted; i++) matrix[i * k + i]! += used * mean;
    if (bias) matrix[k * k - 1]! *= 1 + used;
    if (!factorise(matrix, k)) continue;
    solveFactored(matrix, k, step);
    return { weights: weights.map((value, i) => value + step[i]!), ridge: used };
  }
  return undefined;
}
