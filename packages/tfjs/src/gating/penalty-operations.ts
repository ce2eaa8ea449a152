import {
  directSubgradient,
  type Factors,
  type GroupSet,
  smoothPenalty,
  smoothPenaltyGradient,
  sparsePenalty,
} from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { tensorOps, unstackGates } from "./tensor-ops.ts";

/**
 * Smooth penalty as one operation of the tape; its derivative is core's, a few operations instead of autodiff's many.
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
  const operation = tf.customGrad((...args) => {
    const tensors = savedTensors(args);
    const value = smoothPenalty(tensorOps, set, unstacked(tensors), lambda);
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
      const gradient = smoothPenaltyGradient(tensorOps, set, unstacked(saved), tf.mul(dy, lambda));
      return [...gradient.primary, tf.stack([...gradient.gates])];
    };
    return { value, gradFunc };
  });
  return operation(...primary, gates);
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

/** Primary weights and, last, the stacked gates. */
function unstacked(tensors: readonly tf.Tensor[]): Factors<tf.Tensor> {
  return { primary: tensors.slice(0, -1), gates: unstackGates(tensors.at(-1)!) };
}
