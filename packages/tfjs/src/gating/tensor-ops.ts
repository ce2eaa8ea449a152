import type { TensorOps } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";

/**
 * The gating algebra's operations on `tf.Tensor`: eager, differentiable by `tf.grads`, on whichever backend is active.
 * Tensors made here belong to the caller's `tf.tidy`.
 */
export const tensorOps: TensorOps<tf.Tensor> = {
  shapeOf: (x) => x.shape,
  scalar: (value) => tf.scalar(value),
  constant: (values, shape) => tf.tensor(Float32Array.from(values), [...shape], "float32"),
  add: (a, b) => tf.add(a, b),
  sub: (a, b) => tf.sub(a, b),
  mul: (a, b) => tf.mul(a, b),
  div: (a, b) => tf.div(a, b),
  scale: (x, factor) => (factor === 1 ? x : tf.mul(x, factor)),
  square: (x) => tf.square(x),
  sqrt: (x) => tf.sqrt(x),
  abs: (x) => tf.abs(x),
  pow: (x, exponent) => tf.pow(x, exponent),
  sum: (x, axes) => sum(x, axes),
  reshape: (x, shape) => tf.reshape(x, [...shape]),
  gather: (x, indices) => tf.gather(x, tf.tensor1d([...indices], "int32")),
  segmentSum,
};

/**
 * Sums over leading axes as a product with a row of ones: the wasm backend reduces only the last axes without a
 * transposition, and its matMul is several times faster than transposing.
 */
function sum(x: tf.Tensor, axes?: readonly number[]): tf.Tensor {
  if (axes?.length === 0) return x;
  const leading = axes !== undefined && axes.length < x.rank && axes.every((axis) => axis < axes.length);
  if (!leading) return tf.sum(x, axes && [...axes]);
  const rest = x.shape.slice(axes.length);
  const rows = x.shape.slice(0, axes.length).reduce((a, b) => a * b, 1);
  const columns = rest.reduce((a, b) => a * b, 1);
  return tf.reshape(tf.matMul(tf.ones([1, rows]), tf.reshape(x, [rows, columns])), rest);
}

/** `out[s] = Σ x[i]` over `segments[i] = s`, as a product with a 0/1 matrix: wasm has no segment sum; −1 gives a row of zeros. */
function segmentSum(x: tf.Tensor, segments: readonly number[], count: number): tf.Tensor {
  const members = tf.oneHot(tf.tensor1d([...segments], "int32"), count, 1, 0, "float32");
  return tf.reshape(tf.matMul(tf.reshape(x, [1, segments.length]), members), [count]);
}
