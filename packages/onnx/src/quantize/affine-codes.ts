import { DgateError } from "@dgate/core";

/** The integers that 8-bit codes are rounded to, and where real zero lies among them. */
export interface CodeFormat {
  readonly dtype: "int8" | "uint8";
  /** Lowest and highest code in use. */
  readonly low: number;
  readonly high: number;
  /** The code of zero of a symmetric format; absent where each range finds its own. */
  readonly middle?: number;
}

/** Numbers along one axis of a tensor that is `[outer, size, inner]` in memory; `size` 1 is the whole tensor. */
export interface Runs {
  readonly outer: number;
  readonly size: number;
  readonly inner: number;
}

/** Codes with what they mean: `real = (code − zeroPoint) · scale`. */
export interface AffineCodes {
  readonly codes: Int8Array | Uint8Array;
  /** One per index of the runs' axis, each > 0. */
  readonly scales: Float32Array;
  readonly zeroPoints: Int8Array | Uint8Array;
}

/** Below it a float32 loses digits, and 1 / scale overflows. */
export const smallestScale: number = 2 ** -126;

/** Added and taken away again, it leaves the nearest integer, the even one of two (|x| < 2^51). */
const roundingShift = 1.5 * 2 ** 52;

/**
 * The codes that onnxruntime's quantizers know: symmetric int8 within ±127 (±64 reduced), uint8 over all 256 (128 reduced).
 *
 * @param reduced 7 bits: kernels of x86 CPUs without VNNI add two products of 8-bit numbers in 16 bits, which can saturate
 */
export function codeFormat(dtype: "int8" | "uint8", symmetric: boolean, reduced: boolean): CodeFormat {
  if (dtype === "int8") {
    if (symmetric) return { dtype, low: reduced ? -64 : -127, high: reduced ? 64 : 127, middle: 0 };
    return { dtype, low: reduced ? -64 : -128, high: reduced ? 64 : 127 };
  }
  const high = reduced ? 127 : 255;
  return symmetric ? { dtype, low: 1, high, middle: (high + 1) / 2 } : { dtype, low: 0, high };
}

/**
 * Rounds numbers to codes, with a scale and a zero point for each index of an axis:
 *
 *     symmetric  scale = 2·max|w| / (high − low)                   zero point = middle
 *     else       scale = (max(w, 0) − min(w, 0)) / (high − low)    zero point = round(low − min(w, 0) / scale)
 *     code = clip(round(w / scale) + zero point, low, high)        halves to even, in float32
 *
 * as onnxruntime's `quantize_dynamic` does (quant_utils.py, `compute_scale_zp`, `quantize_nparray`). Then |w − real| ≤ scale / 2, zero is
 * exact, and numbers that are all zero (or too small for a float32 scale) get scale 1.
 *
 * @param label names the tensor in an error
 * @throws DgateError `DATA` for NaN and infinity
 */
export function affineCodes(
  numbers: ArrayLike<number>,
  runs: Runs,
  format: CodeFormat,
  label: string,
): AffineCodes {
  const { scales, zeroPoints } = parametersOf(rangesOf(numbers, runs, label), format);
  const { outer, size, inner } = runs;
  const { low, high, dtype } = format;
  const codes = new (dtype === "int8" ? Int8Array : Uint8Array)(numbers.length);
  let at = 0;
  for (let o = 0; o < outer; o++) {
    for (let s = 0; s < size; s++) {
      const scale = scales[s]!;
      const zero = zeroPoints[s]!;
      for (const end = at + inner; at < end; at++) {
        const code = Math.fround(numbers[at]! / scale) + roundingShift - roundingShift + zero;
        codes[at] = code < low ? low : code > high ? high : code;
      }
    }
  }
  return { codes, scales, zeroPoints };
}

interface Ranges {
  readonly low: Float32Array;
  readonly high: Float32Array;
}

/** Lowest and highest number at each index, zero included. */
function rangesOf(numbers: ArrayLike<number>, { outer, size, inner }: Runs, label: string): Ranges {
  const low = new Float32Array(size);
  const high = new Float32Array(size);
  let at = 0;
  for (let o = 0; o < outer; o++) {
    for (let s = 0; s < size; s++) {
      let least = low[s]!;
      let most = high[s]!;
      for (const end = at + inner; at < end; at++) {
        const number = numbers[at]!;
        if (number < least) least = number;
        else if (number > most) most = number;
        else if (Number.isNaN(number)) throw notFinite(label, number, at);
      }
      if (least === -Infinity || most === Infinity)
        throw notFinite(label, most === Infinity ? most : least, at - 1);
      low[s] = least;
      high[s] = most;
    }
  }
  return { low, high };
}

/** The error for a weight that no code stands for. */
export function notFinite(label: string, number: number, element: number): DgateError {
  return new DgateError(
    "DATA",
    `quantize: weight "${label}" holds ${number} (at or before element ${element}), which no code stands for. ` +
      "Find out where the model lost its numbers, or leave the layer out with exclude.",
  );
}

function parametersOf({ low, high }: Ranges, format: CodeFormat): Omit<AffineCodes, "codes"> {
  const scales = new Float32Array(low.length);
  const zeroPoints = new (format.dtype === "int8" ? Int8Array : Uint8Array)(low.length);
  const steps = format.high - format.low;
  for (let i = 0; i < scales.length; i++) {
    const [from, to] = [low[i]!, high[i]!];
    const width = format.middle === undefined ? spreadOf(from, to) : 2 * Math.max(-from, to);
    const scale = width / steps;
    const isZero = !(scale >= smallestScale);
    scales[i] = isZero ? 1 : scale;
    zeroPoints[i] = format.middle ?? zeroPointOf(isZero ? 0 : from / scale, format);
  }
  return { scales, zeroPoints };
}

/** The difference as float32 arithmetic has it, where that is finite. */
export function spreadOf(low: number, high: number): number {
  const spread = Math.fround(high - low);
  return spread === Infinity ? high - low : spread;
}

function zeroPointOf(lowest: number, { low, high }: CodeFormat): number {
  const zero = low - lowest + roundingShift - roundingShift;
  return Math.min(high, Math.max(low, zero));
}
