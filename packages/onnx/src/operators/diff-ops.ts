import type { Attribute } from "../graph/attribute.ts";
import { float, int, ints } from "../graph/attribute.ts";
import type { Dim } from "../graph/types.ts";
import { type DataType, dataTypes } from "../graph/tensor.ts";

/** Attributes of an operator call, by name. */
export type Attributes = Readonly<Record<string, Attribute>>;

/** Options of `DiffOps.gemm`: which operand is transposed, and a factor. */
export interface GemmOptions {
  readonly transA?: boolean;
  readonly transB?: boolean;
  readonly alpha?: number;
}

/**
 * Operators of the standard domain (as of operator set 18) on some kind of tensor: values of a graph, where a call adds a node, or
 * arrays of float64, where it computes. Derivatives and decompositions are written over it once and run on both.
 *
 * Sizes may be unknown while a graph is built: `shape` tells what is known, and nothing here needs more, unless it says so.
 */
export abstract class DiffOps<T> {
  /** Applies an operator; `outputs` is the number of results that are wanted. */
  abstract apply(
    op: string,
    inputs: readonly (T | undefined)[],
    attributes?: Attributes,
    outputs?: number,
  ): readonly T[];

  /** What is known of a shape; `undefined` where the rank is not. */
  abstract shape(x: T): readonly Dim[] | undefined;

  abstract dtype(x: T): DataType;

  /** As `dtype`; `undefined` where it is not known. */
  knownDtype(x: T): DataType | undefined {
    return this.dtype(x);
  }

  /** A constant tensor, values in row-major order. */
  abstract constant(dtype: DataType, shape: readonly number[], values: ArrayLike<number>): T;

  /** Known elements of a small integer tensor; a size that is not known yet is a name, or `undefined`. */
  abstract content(x: T): readonly Dim[] | undefined;

  /** The single result of an operator. */
  call(op: string, inputs: readonly (T | undefined)[], attributes: Attributes = {}): T {
    return this.apply(op, inputs, attributes, 1)[0]!; // one was asked for
  }

  /** Rank of a tensor; `undefined` where it is not known. */
  rank(x: T): number | undefined {
    return this.shape(x)?.length;
  }

  /** Sizes of a tensor, if all are known. */
  sizes(x: T): readonly number[] | undefined {
    const shape = this.shape(x);
    return shape?.every((dim) => typeof dim === "number") ? shape : undefined;
  }

  /** Elements of a small integer tensor, if all are known. */
  integers(x: T): readonly number[] | undefined {
    const content = this.content(x);
    return content?.every((dim) => typeof dim === "number") ? content : undefined;
  }

  /** A scalar of the element type of `like`. */
  scalar(value: number, like: T): T {
    return this.constant(this.dtype(like), [], [value]);
  }

  /** An int64 vector. */
  int64(values: readonly number[]): T {
    return this.constant("int64", [values.length], values);
  }

  add(a: T, b: T): T {
    return this.call("Add", [a, b]);
  }

  sub(a: T, b: T): T {
    return this.call("Sub", [a, b]);
  }

  mul(a: T, b: T): T {
    return this.call("Mul", [a, b]);
  }

  div(a: T, b: T): T {
    return this.call("Div", [a, b]);
  }

  neg(x: T): T {
    return this.call("Neg", [x]);
  }

  square(x: T): T {
    return this.mul(x, x);
  }

  /** `x · factor` for a plain number. */
  scale(x: T, factor: number): T {
    return factor === 1 ? x : this.mul(x, this.scalar(factor, x));
  }

  /** `x + term` for a plain number. */
  shift(x: T, term: number): T {
    return term === 0 ? x : this.add(x, this.scalar(term, x));
  }

  exp(x: T): T {
    return this.call("Exp", [x]);
  }

  log(x: T): T {
    return this.call("Log", [x]);
  }

  sqrt(x: T): T {
    return this.call("Sqrt", [x]);
  }

  reciprocal(x: T): T {
    return this.call("Reciprocal", [x]);
  }

  /** `x^exponent` for a plain exponent. */
  pow(x: T, exponent: number): T {
    return this.call("Pow", [x, this.scalar(exponent, x)]);
  }

  where(condition: T, a: T, b: T): T {
    return this.call("Where", [condition, a, b]);
  }

  /** `x` where the condition holds, else 0. */
  maskedBy(condition: T, x: T): T {
    return this.where(condition, x, this.scalar(0, x));
  }

  /** Sums over axes, counted from the front or the back; all axes if left out. */
  sum(x: T, axes?: readonly number[], keepDims = true): T {
    return this.reduce("ReduceSum", x, axes, keepDims);
  }

  mean(x: T, axes?: readonly number[], keepDims = true): T {
    return this.reduce("ReduceMean", x, axes, keepDims);
  }

  /** A reduction in its newest form, with axes as an input. No axes at all (an empty list) means no reduction. */
  reduce(op: string, x: T, axes: readonly number[] | undefined, keepDims: boolean): T {
    if (axes?.length === 0) return x;
    const inputs = axes ? [x, this.int64(axes)] : [x];
    return this.call(op, inputs, { keepdims: int(keepDims ? 1 : 0) });
  }

  transpose(x: T, perm: readonly number[]): T {
    return perm.every((from, to) => from === to) ? x : this.call("Transpose", [x], { perm: ints(perm) });
  }

  /** Swaps the last two axes of a tensor of known rank. */
  swapLast(x: T, rank: number): T {
    const order = Array.from({ length: rank }, (_, axis) => axis);
    return this.transpose(x, [...order.slice(0, -2), rank - 1, rank - 2]);
  }

  unsqueeze(x: T, axes: readonly number[]): T {
    return axes.length === 0 ? x : this.call("Unsqueeze", [x, this.int64(axes)]);
  }

  squeeze(x: T, axes: readonly number[]): T {
    return axes.length === 0 ? x : this.call("Squeeze", [x, this.int64(axes)]);
  }

  /** To the given sizes: numbers, −1 for the rest once, 0 for the size that stands there now. */
  reshape(x: T, shape: readonly number[]): T {
    return this.call("Reshape", [x, this.int64(shape)]);
  }

  /** The sizes of a tensor as an int64 vector. */
  shapeOf(x: T): T {
    const sizes = this.sizes(x);
    return sizes ? this.int64(sizes) : this.call("Shape", [x]);
  }

  /** The size of one axis as an int64 vector of one element. */
  sizeOf(x: T, axis: number): T {
    const dim = this.shape(x)?.at(axis);
    if (typeof dim === "number") return this.int64([dim]);
    const end = axis === -1 ? {} : { end: int(axis + 1) };
    return this.call("Shape", [x], { start: int(axis), ...end });
  }

  /** `x` with the shape of `like`, which has as many elements. */
  reshapeLike(x: T, like: T): T {
    const [from, to] = [this.shape(x), this.shape(like)];
    if (from && to && sameDims(from, to)) return x;
    const open = to?.filter((dim) => typeof dim !== "number").length ?? Infinity;
    if (to && open <= 1)
      return this.reshape(
        x,
        to.map((dim) => (typeof dim === "number" ? dim : -1)),
      );
    return this.call("Reshape", [x, this.shapeOf(like)]);
  }

  /** `x` repeated to the shape of `like`. */
  expandLike(x: T, like: T): T {
    const [from, to] = [this.shape(x), this.shape(like)];
    if (from && to && sameDims(from, to)) return x;
    return this.call("Expand", [x, this.shapeOf(like)]);
  }

  /** Zeros of the shape and element type of `like`. */
  zerosLike(like: T): T {
    return this.expandLike(this.scalar(0, like), like);
  }

  /** `x[from:to]` on one axis, counted in elements of that axis; `to` may be left out. */
  slice(x: T, axis: number, from: number, to: number = Number.MAX_SAFE_INTEGER, step = 1): T {
    return this.call("Slice", [
      x,
      this.int64([from]),
      this.int64([to]),
      this.int64([axis]),
      this.int64([step]),
    ]);
  }

  concat(parts: readonly T[], axis: number): T {
    return parts.length === 1 ? parts[0]! : this.call("Concat", parts, { axis: int(axis) });
  }

  gather(x: T, indices: T, axis: number): T {
    return this.call("Gather", [x, indices], { axis: int(axis) });
  }

  cast(x: T, to: DataType): T {
    return this.dtype(x) === to ? x : this.call("Cast", [x], { to: int(dataTypes[to]) });
  }

  matmul(a: T, b: T): T {
    return this.call("MatMul", [a, b]);
  }

  /** `A·B` of matrices, either transposed. */
  gemm(a: T, b: T, { transA = false, transB = false, alpha = 1 }: GemmOptions = {}): T {
    return this.call("Gemm", [a, b], {
      ...(transA && { transA: int(1) }),
      ...(transB && { transB: int(1) }),
      ...(alpha !== 1 && { alpha: float(alpha) }),
    });
  }
}

/** Whether two shapes are known to be the same. */
export function sameDims(a: readonly Dim[], b: readonly Dim[]): boolean {
  return a.length === b.length && a.every((dim, axis) => dim !== undefined && dim === b[axis]);
}
