/** Bytes per element of each element type of the safetensors format. */
export const elementBytes = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  I64: 8,
  U64: 8,
  F64: 8,
} as const;

/** Element types of the safetensors format. */
export type SafetensorsDtype = keyof typeof elementBytes;

/** One tensor: little-endian elements in row-major order. */
export interface SafetensorsEntry {
  readonly dtype: SafetensorsDtype;
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** Headers longer than this are refused, as by the reference implementation. */
export const maxHeaderBytes = 100_000_000;

/** The header's key for free text pairs. */
export const metadataKey = "__metadata__";

/** Bytes of a tensor; `undefined` if the shape is not a list of whole numbers or the product is not exact. */
export function byteCount(dtype: SafetensorsDtype, shape: readonly unknown[]): number | undefined {
  let bytes: number = elementBytes[dtype];
  for (const size of shape) {
    if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) return undefined;
    bytes *= size;
  }
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

/** Whether a value names an element type. */
export function isDtype(value: unknown): value is SafetensorsDtype {
  return typeof value === "string" && Object.hasOwn(elementBytes, value);
}
