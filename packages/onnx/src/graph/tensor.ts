/** ONNX element types by the names used in this package, with the number that the file format gives each. */
export const dataTypes = {
  float32: 1,
  uint8: 2,
  int8: 3,
  uint16: 4,
  int16: 5,
  int32: 6,
  int64: 7,
  string: 8,
  bool: 9,
  float16: 10,
  float64: 11,
  uint32: 12,
  uint64: 13,
  complex64: 14,
  complex128: 15,
  bfloat16: 16,
  float8e4m3fn: 17,
  float8e4m3fnuz: 18,
  float8e5m2: 19,
  float8e5m2fnuz: 20,
  uint4: 21,
  int4: 22,
  float4e2m1: 23,
  float8e8m0: 24,
  uint2: 25,
  int2: 26,
} as const;

export type DataType = keyof typeof dataTypes;

/**
 * A constant tensor. `bytes` is the row-major little-endian content exactly as in `raw_data` of the file format, most
 * often a view on the file's own bytes (not aligned: read it through `readNumbers`). Treat it as immutable.
 */
export interface Tensor {
  readonly dtype: DataType;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
  /** Elements of a `string` tensor; `bytes` is then empty. */
  readonly strings?: readonly Uint8Array[];
  /** Fields of the file beside type, shape and content (doc string, metadata, unknown ones), as file bytes. */
  readonly extra?: Uint8Array;
}
