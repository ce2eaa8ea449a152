import { collapse, defineGroups, factorGradients, type GroupLayout, type GroupSet } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { tensorOps } from "./tensor-ops.ts";

/**
 * `x · g`, with `g` spread over the groups of `x`: gates a weight (`ω · Πγ`), or the activation that the weight makes.
 * The derivative is core's chain rule for one gate; written here as one operation, because tfjs would otherwise
 * reduce the gates' gradient over leading axes, which the wasm backend can only do by transposing.
 *
 * @param gate `[groups]`
 */
export function applyGates(x: tf.Tensor, layout: GroupLayout, gate: tf.Tensor): tf.Tensor {
  const set = groupsOf(x.shape, layout);
  const multiply = tf.customGrad((...args) => {
    // customGrad passes its tensors and then the function that keeps them for the backward pass.
    const [primary, product, save] = args as [tf.Tensor, tf.Tensor, tf.GradSaveFunc];
    save([primary, product]);
    const [value] = collapse(tensorOps, set, { primary: [primary], gates: [product] });
    const gradFunc = (dy: tf.Tensor, saved: tf.Tensor[]): tf.Tensor[] => {
      const factors = { primary: [saved[0]!], gates: [saved[1]!] };
      const gradient = factorGradients(tensorOps, set, factors, [dy]);
      return [gradient.primary[0]!, gradient.gates[0]!];
    };
    return { value: value!, gradFunc };
  });
  return multiply(x, gate);
}

const known = new Map<string, GroupSet>();

/** The groups of a tensor: of one shape per layer and batch size, so that they are looked up rather than made at each step. */
function groupsOf(shape: readonly number[], layout: GroupLayout): GroupSet {
  const key = `${shape.join("×")} ${JSON.stringify(layout)}`;
  const found = known.get(key);
  if (found) return found;
  const set = defineGroups([{ name: "x", shape, layout }]);
  // Batch sizes that never come back must not pile up.
  if (known.size >= 256) known.clear();
  known.set(key, set);
  return set;
}
