/** A binary float format narrower than float32: sign bit, exponent bits, mantissa bits, and what its last codes mean. */
export interface SmallFloat {
  readonly exponentBits: number;
  readonly mantissaBits: number;
  readonly bias: number;
  /**
   * `ieee`: the top exponent is Infinity and NaN. `fn`: finite, only the all-ones code is NaN. `fnuz`: finite, no −0,
   * whose code is NaN. `finite`: no special value.
   */
  readonly special: "ieee" | "fn" | "fnuz" | "finite";
}

/** Formats of ONNX by element type (IEEE 754; bfloat16; FP8 of arXiv 2209.05433 and 2206.02915; OCP microscaling FP4). */
export const smallFloats: {
  readonly [Name in "float16" | "bfloat16"]: SmallFloat & { readonly special: "ieee" };
} & {
  readonly [Name in
    | "float8e4m3fn"
    | "float8e4m3fnuz"
    | "float8e5m2"
    | "float8e5m2fnuz"
    | "float4e2m1"]: SmallFloat;
} = {
  float16: { exponentBits: 5, mantissaBits: 10, bias: 15, special: "ieee" },
  bfloat16: { exponentBits: 8, mantissaBits: 7, bias: 127, special: "ieee" },
  float8e4m3fn: { exponentBits: 4, mantissaBits: 3, bias: 7, special: "fn" },
  float8e4m3fnuz: { exponentBits: 4, mantissaBits: 3, bias: 8, special: "fnuz" },
  float8e5m2: { exponentBits: 5, mantissaBits: 2, bias: 15, special: "ieee" },
  float8e5m2fnuz: { exponentBits: 5, mantissaBits: 2, bias: 16, special: "fnuz" },
  float4e2m1: { exponentBits: 2, mantissaBits: 1, bias: 1, special: "finite" },
};

/** The number that a code stands for: (−1)^s · 2^(e−bias) · (1 + m/2^M), or 2^(1−bias) · m/2^M where e = 0. */
function decodeSmallFloat(code: number, format: SmallFloat): number {
  const { exponentBits, mantissaBits, bias, special } = format;
  const sign = (code >>> (exponentBits + mantissaBits)) & 1 ? -1 : 1;
  const exponent = (code >>> mantissaBits) & ((1 << exponentBits) - 1);
  const mantissa = code & ((1 << mantissaBits) - 1);
  const top = exponent === (1 << exponentBits) - 1;
  if (special === "ieee" && top) return mantissa === 0 ? sign * Infinity : Number.NaN;
  if (special === "fn" && top && mantissa === (1 << mantissaBits) - 1) return Number.NaN;
  if (special === "fnuz" && sign < 0 && exponent === 0 && mantissa === 0) return Number.NaN;
  const fraction = mantissa / (1 << mantissaBits);
  return exponent === 0 ? sign * 2 ** (1 - bias) * fraction : sign * 2 ** (exponent - bias) * (1 + fraction);
}

/** All numbers of a format in code order: a look-up table of 2^bits entries. */
export function smallFloatTable(format: SmallFloat): Float32Array {
  const bits = 1 + format.exponentBits + format.mantissaBits;
  return Float32Array.from({ length: 1 << bits }, (_, code) => decodeSmallFloat(code, format));
}

/** The code nearest to `value` in an `ieee` format, ties to even; overflow gives Infinity. */
export function encodeSmallFloat(value: number, format: SmallFloat & { readonly special: "ieee" }): number {
  const { exponentBits, mantissaBits, bias } = format;
  const infinity = ((1 << exponentBits) - 1) << mantissaBits;
  if (Number.isNaN(value)) return infinity | (1 << (mantissaBits - 1));
  const sign = value < 0 || Object.is(value, -0) ? 1 << (exponentBits + mantissaBits) : 0;
  const exponent = Math.max(exponentOf(value), 1 - bias);
  // In units of the last place; the implicit leading one is part of it, so rounding up carries into the exponent.
  const units = roundHalfEven(Math.abs(value) / 2 ** (exponent - mantissaBits));
  const code = (exponent + bias - 1) * 2 ** mantissaBits + units;
  return sign | (code < infinity ? code : infinity);
}

/** ⌊log₂|x|⌋ for finite x ≠ 0 that is not subnormal in float64; a large value for Infinity, a small one for 0. */
function exponentOf(value: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, value);
  return ((view.getUint32(0) >>> 20) & 0x7ff) - 1023;
}

function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  return rest > 0.5 || (rest === 0.5 && floor % 2 === 1) ? floor + 1 : floor;
}
