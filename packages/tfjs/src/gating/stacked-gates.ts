import * as tf from "@tensorflow/tfjs";

// A site's gates are stored as one tensor `[D − 1, groups]`, and computed with as one: the number of kernels does not
// grow with D. On a GPU each kernel is a launch, and launches are what the step of a small network takes its time for.

/** Π_d γ_d, `[groups]`. */
export function stackedProduct(gates: tf.Tensor): tf.Tensor {
  const [count, groups] = gates.shape as [number, number];
  if (count === 1) return tf.reshape(gates, [groups]);
  const product = tf.customGrad((...args) => {
    // customGrad passes its tensors and then the function that keeps them for the backward pass.
    const [factors, save] = args as [tf.Tensor, tf.GradSaveFunc];
    save([factors]);
    return { value: tf.prod(factors, 0), gradFunc: productGradient };
  });
  return product(gates);
}

const productGradient = (dy: tf.Tensor, [gates]: tf.Tensor[]): tf.Tensor => tf.mul(otherProducts(gates!), dy);

/** π_{−d} = Π_{e≠d} γ_e for each gate d of two and more, `[D − 1, groups]`. No division: gates may be 0. */
function otherProducts(gates: tf.Tensor): tf.Tensor {
  const [count, groups] = gates.shape as [number, number];
  if (count === 2) return tf.reverse(gates, 0);
  const rows = Array.from({ length: count }, (_, d) => d);
  const others = rows.flatMap((d) => rows.filter((e) => e !== d));
  const gathered = tf.gather(gates, tf.tensor1d(others, "int32"));
  return tf.prod(tf.reshape(gathered, [count, count - 1, groups]), 1);
}

/** The D − 1 gates as tensors `[groups]` of their own. tfjs cannot differentiate unstack into a single tensor. */
export function unstackGates(gates: tf.Tensor): tf.Tensor[] {
  return gates.shape[0] === 1 ? [tf.reshape(gates, [gates.size])] : tf.unstack(gates);
}
