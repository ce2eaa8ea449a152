import { checkShape, sizeOf } from "../check.ts";
import { DgateError } from "../errors.ts";

/** Numbers of one of the two floating-point types that gates are computed in. */
export type FloatArray = Float64Array | Float32Array;

/** The floating-point type of the reference implementation. */
export type FloatType = "float64" | "float32";

/** A dense tensor on a typed array, values in row-major order. */
export interface NdArray {
  readonly shape: readonly number[];
  readonly data: FloatArray;
}

/** Wraps `data` (not copied) as a tensor of `shape`; throws `SHAPE` if the counts differ. */
export function ndArray(data: FloatArray, shape: readonly number[]): NdArray {
  checkShape("ndArray", shape);
  if (data.length === sizeOf(shape)) return { shape, data };
  throw new DgateError(
    "SHAPE",
    `ndArray: shape [${shape.join(", ")}] holds ${sizeOf(shape)} values, got ${data.length}.`,
  );
}
