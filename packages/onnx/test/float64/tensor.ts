import type { DataType, Tensor } from "../../src/graph/tensor.ts";
import { readNumbers } from "../../src/io/tensor-data.ts";

/**
 * A tensor whose elements, row-major, are float64 numbers whatever its type: integers and bools (0 and 1) are numbers too,
 * and float32 elements are not rounded.
 */
export interface Float64Tensor {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

/** A tensor of the given elements; throws if their number does not fit the shape. */
export function float64Tensor(
  shape: readonly number[],
  data: ArrayLike<number>,
  dtype: DataType = "float32",
): Float64Tensor {
  if (data.length !== sizeOf(shape)) {
    throw new Error(
      `float64Tensor: [${shape.join(", ")}] needs ${sizeOf(shape)} numbers, got ${data.length}`,
    );
  }
  return { dtype, shape, data: data instanceof Float64Array ? data : Float64Array.from(data) };
}

/** The content of a constant. */
export function float64Of(tensor: Tensor): Float64Tensor {
  return { dtype: tensor.dtype, shape: tensor.shape, data: new Float64Array(readNumbers(tensor)) };
}

/** The same elements in another shape. */
export function reshaped(x: Float64Tensor, shape: readonly number[]): Float64Tensor {
  return float64Tensor(shape, x.data, x.dtype);
}

/** Number of elements. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((a, b) => a * b, 1);
}

/** Row-major strides, in elements. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = shape.map(() => 1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1]! * shape[axis + 1]!;
  return strides;
}

/** Whether the elements are floating point numbers. */
export function isFloat(dtype: DataType): boolean {
  return dtype.startsWith("float") || dtype === "bfloat16";
}
