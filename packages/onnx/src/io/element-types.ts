import { DgateError } from "@dgate/core";
import { dataTypes, type DataType } from "../graph/tensor.ts";

/** Axes of a value; onnxruntime's kernels end well before. */
export const maxRank = 64;

/** Bits that one element takes in `Tensor.bytes`; a `string` has none there. */
export const elementBits: { readonly [D in DataType]: number } = {
  float32: 32,
  uint8: 8,
  int8: 8,
  uint16: 16,
  int16: 16,
  int32: 32,
  int64: 64,
  string: 0,
  bool: 8,
  float16: 16,
  float64: 64,
  uint32: 32,
  uint64: 64,
  complex64: 64,
  complex128: 128,
  bfloat16: 16,
  float8e4m3fn: 8,
  float8e4m3fnuz: 8,
  float8e5m2: 8,
  float8e5m2fnuz: 8,
  uint4: 4,
  int4: 4,
  float4e2m1: 4,
  float8e8m0: 8,
  uint2: 2,
  int2: 2,
};

const namesByNumber = new Map<number, DataType>(
  // Object.entries widens the keys; dataTypes has exactly the DataType keys.
  Object.entries(dataTypes).map(([name, number]) => [number, name as DataType]),
);

/** The name of an ONNX element type number, if it is one of those this package knows. */
export function dataTypeOf(number: number): DataType | undefined {
  return namesByNumber.get(number);
}

/**
 * Number of elements of a shape, the product of its sizes.
 * @throws DgateError `SHAPE` for a negative or fractional size and for a product past 2^53.
 */
export function elementCount(shape: readonly number[]): number {
  let count = 1;
  for (const size of shape) {
    if (!Number.isSafeInteger(size) || size < 0) {
      throw new DgateError(
        "SHAPE",
        `shape [${shape.join(", ")}]: every size must be an integer ≥ 0, got ${size}.`,
      );
    }
    count *= size;
  }
  if (!Number.isSafeInteger(count)) {
    // A later 0 would make [2^40, 2^40, 0] empty; nobody stores that, so it is refused with the rest.
    throw new DgateError("SHAPE", `shape [${shape.join(", ")}] has more than 2^53 elements.`);
  }
  return count;
}

/** Bytes that a tensor of this type and shape takes in `Tensor.bytes`; sub-byte elements are packed without gaps. */
export function byteLengthOf(dtype: DataType, shape: readonly number[]): number {
  return Math.ceil((elementCount(shape) * elementBits[dtype]) / 8);
}
