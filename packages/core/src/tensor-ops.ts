/**
 * The tensor operations that the gating algebra is written over. Bound to Float64Array/Float32Array (reference,
 * `arrayOps`), to `tf.Tensor` (differentiable) and to ONNX graph values (emits nodes).
 *
 * Shapes are static. Binary operations broadcast as NumPy does. Nothing here branches on tensor values, draws random
 * numbers, awaits, or owns memory: an implementation may be eager or symbolic.
 */
export interface TensorOps<T> {
  /** Static shape of `x`. */
  shapeOf(x: T): readonly number[];
  /** A scalar constant (shape `[]`). */
  scalar(value: number): T;
  /** A constant of the given shape, values in row-major order. */
  constant(values: ArrayLike<number>, shape: readonly number[]): T;
  add(a: T, b: T): T;
  sub(a: T, b: T): T;
  mul(a: T, b: T): T;
  div(a: T, b: T): T;
  /** `x · factor` for a plain number. */
  scale(x: T, factor: number): T;
  square(x: T): T;
  sqrt(x: T): T;
  abs(x: T): T;
  /** `x^exponent` for x ≥ 0 and a plain exponent; 0^0 is not asked for. */
  pow(x: T, exponent: number): T;
  /** Sum over `axes` (all axes if left out), which are dropped. */
  sum(x: T, axes?: readonly number[]): T;
  reshape(x: T, shape: readonly number[]): T;
  /** Slices of `x` along axis 0: `out[i, …] = x[indices[i], …]`. */
  gather(x: T, indices: readonly number[]): T;
  /** Sums of `x` (shape `[n]`) by segment: `out[s] = Σ_{i: segments[i] = s} x[i]`; `out` is `[count]`. Entries of segment −1 are left out. */
  segmentSum(x: T, segments: readonly number[], count: number): T;
}
