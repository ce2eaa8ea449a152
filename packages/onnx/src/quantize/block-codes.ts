import { notFinite, smallestScale, spreadOf } from "./affine-codes.ts";

/** How blocks of weights become codes. */
export interface BlockFormat {
  readonly bits: 4 | 8;
  /** Weights of a block, a power of two ≥ 16. */
  readonly blockSize: number;
  /** Zero is the middle code 2^(bits − 1) of every block; otherwise each block has a zero point. */
  readonly symmetric: boolean;
}

/** Weights as com.microsoft.MatMulNBits takes them: `real = (code − zeroPoint) · scale`, rows of blocks. */
export interface BlockCodes {
  /** `[rows, blocks, blockSize · bits / 8]`, the first code in the low bits. */
  readonly packed: Uint8Array;
  /** `[rows · blocks]`. Negative where the largest weight is positive (symmetric), never 0. */
  readonly scales: Float32Array;
  /** `[rows, ⌈blocks · bits / 8⌉]`, packed as the codes; absent where all are the middle code. */
  readonly zeroPoints: Uint8Array | undefined;
}

/**
 * Rounds the rows of a matrix to codes, block by block, to the nearest, as onnxruntime's `MatMulNBitsQuantizer` does (mlas/lib/q4_dq.cpp,
 * `range2scale`, `range2scalezp`):
 *
 *     symmetric  scale = m / −2^(bits−1), m the weight of largest |w| (which is exact then)   zero point = 2^(bits−1)
 *     else       scale = (max(w, 0) − min(w, 0)) / (2^bits − 1)                               zero point = round(−min(w, 0) / scale)
 *     code = clip(round(w / scale + zero point), 0, 2^bits − 1)
 *
 * |w − real| ≤ |scale| / 2, and ≤ |scale| for weights near −m, which the codes of a symmetric block end before. The last block
 * of a row is filled with zeros, zero is exact, and a block of zeros has scale 1.
 *
 * @param numbers `[rows, depth]`
 * @param label names the tensor in an error
 * @throws DgateError `DATA` for NaN and infinity
 */
export function blockCodes(
  numbers: ArrayLike<number>,
  rows: number,
  depth: number,
  format: BlockFormat,
  label: string,
): BlockCodes {
  const { bits, blockSize, symmetric } = format;
  const blocks = Math.ceil(depth / blockSize);
  const blockBytes = (blockSize * bits) / 8;
  const packed = new Uint8Array(rows * blocks * blockBytes);
  const scales = new Float32Array(rows * blocks);
  const zeroBytes = Math.ceil((blocks * bits) / 8);
  const zeroPoints = symmetric ? undefined : new Uint8Array(rows * zeroBytes);
  const rounder = new BlockRounder(numbers, format, label);
  for (let row = 0; row < rows; row++) {
    for (let block = 0; block < blocks; block++) {
      const start = row * depth + block * blockSize;
      const index = row * blocks + block;
      rounder.fit(start, Math.min(start + blockSize, (row + 1) * depth));
      rounder.write(packed, index * blockBytes);
      scales[index] = rounder.scale;
      if (zeroPoints)
        zeroPoints[row * zeroBytes + ((block * bits) >> 3)]! |= rounder.zero << ((block * bits) & 7);
    }
  }
  return { packed, scales, zeroPoints };
}

/** Rounds one block after the other, without an object for each. */
class BlockRounder {
  scale = 1;
  zero: number;
  readonly #numbers: ArrayLike<number>;
  readonly #format: BlockFormat;
  readonly #label: string;
  readonly #highest: number;
  #start = 0;
  #end = 0;

  constructor(numbers: ArrayLike<number>, format: BlockFormat, label: string) {
    this.#numbers = numbers;
    this.#format = format;
    this.#label = label;
    this.#highest = 2 ** format.bits - 1;
    this.zero = (this.#highest + 1) / 2;
  }

  /** Finds scale and zero point of the numbers from `start` to before `end`. */
  fit(start: number, end: number): void {
    const numbers = this.#numbers;
    let low = 0;
    let high = 0;
    for (let i = start; i < end; i++) {
      const number = numbers[i]!;
      if (number < low) low = number;
      else if (number > high) high = number;
      else if (Number.isNaN(number)) throw notFinite(this.#label, number, i);
    }
    if (low === -Infinity || high === Infinity)
      throw notFinite(this.#label, low === -Infinity ? low : high, end - 1);
    const { symmetric } = this.#format;
    const middle = (this.#highest + 1) / 2;
    const scale = Math.fround(
      symmetric ? -(high > -low ? high : low) / middle : spreadOf(low, high) / this.#highest,
    );
    // Also where its reciprocal is no float32.
    this.scale = Math.abs(scale) < smallestScale ? 1 : scale;
    this.zero = symmetric ? middle : Math.floor(Math.fround(-low / this.scale) + 0.5);
    this.#start = start;
    this.#end = end;
  }

  /** Writes the codes of that block. */
  write(target: Uint8Array, at: number): void {
    const numbers = this.#numbers;
    const { bits, blockSize } = this.#format;
    const { zero } = this;
    const highest = this.#highest;
    const end = this.#end;
    const reciprocal = Math.fround(1 / this.scale);
    let to = at;
    let shift = 0;
    for (let i = this.#start, last = i + blockSize; i < last; i++) {
      const exact =
        i < end ? Math.floor(Math.fround(Math.fround(numbers[i]! * reciprocal) + zero) + 0.5) : zero;
      target[to]! |= (exact < 0 ? 0 : exact > highest ? highest : exact) << shift;
      shift += bits;
      if (shift < 8) continue;
      shift = 0;
      to += 1;
    }
  }
}
