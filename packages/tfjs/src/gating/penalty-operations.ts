import {
  directSubgradient,
  type GroupSet,
  smoothPenaltyGradient,
  sparsePenalty,
  squaredGroupNorms,
} from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { tensorOps } from "./tensor-ops.ts";

/**
 * Smooth penalty `(λ/D) Σ_j s_j (‖ω_j‖² + Σ_d γ_{j,d}²)` as one operation of the tape; its derivative is core's, a few
 * operations instead of autodiff's many.
 *
 * @param primary ω, one tensor per member of `set`
 * @param gates `[D − 1, groups]`
 * @returns scalar
 */
export function smoothPenaltyOf(
  set: GroupSet,
  primary: readonly tf.Tensor[],
  gates: tf.Tensor,
  lambda: number,
): tf.Tensor {
  const share = lambda / (gates.shape[0] + 1);
  const operation = tf.customGrad((...args) => {
    const tensors = savedTensors(args);
    const value = tf.mul(weightedSquares(set, tensors.slice(0, -1), tensors.at(-1)!), share);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
      // Of L2 all gates together are one factor: two in all, each with half of λ.
      const factors = { primary: saved.slice(0, -1), gates: [saved.at(-1)!] };
      const gradient = smoothPenaltyGradient(tensorOps, set, factors, tf.mul(dy, 2 * share));
      return [...gradient.primary, gradient.gates[0]!];
    };
    return { value, gradFunc };
  });
  return operation(...primary, gates);
}

/** Σ_j s_j (‖ω_j‖² + Σ_d γ_{j,d}²) */
function weightedSquares(set: GroupSet, primary: readonly tf.Tensor[], gates: tf.Tensor): tf.Tensor {
  if (set.weights.every((weight) => weight === 1)) {
    // The groups need not be told apart.
    return [...primary, gates].map((x) => tf.sum(tf.square(x))).reduce((a, b) => tf.add(a, b));
  }
  const perGroup = tf.add(squaredGroupNorms(tensorOps, set, primary), tf.sum(tf.square(gates), 0));
  return tf.sum(tf.mul(perGroup, tf.tensor1d([...set.weights])));
}

/**
 * The sparse penalty `λ Σ_j s_j ‖w_j‖^{2/D}` itself, with its sub-gradient (0 at w_j = 0).
 *
 * @param weights w, one tensor per member of `set`
 * @returns scalar
 */
export function directPenaltyOf(
  set: GroupSet,
  weights: readonly tf.Tensor[],
  lambda: number,
  depth: number,
): tf.Tensor {
  const operation = tf.customGrad((...args) => {
    const value = sparsePenalty(tensorOps, set, savedTensors(args), lambda, depth);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] =>
      directSubgradient(tensorOps, set, saved, lambda, 2 / depth).map((slope) => tf.mul(slope, dy));
    return { value, gradFunc };
  });
  return operation(...weights);
}

/** customGrad passes its tensors and then the function that keeps them for the backward pass. */
function savedTensors(args: readonly (tf.Tensor | tf.GradSaveFunc)[]): tf.Tensor[] {
  const save = args.at(-1) as tf.GradSaveFunc;
  const tensors = args.slice(0, -1) as tf.Tensor[];
  save(tensors);
  return tensors;
}
