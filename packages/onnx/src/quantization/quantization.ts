import type { Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { elementCount } from "../io/element-types.ts";
import { readNumbers } from "../io/tensor-data.ts";

/** Scales or zero points of a tensor. */
export interface QuantizationNumbers {
  /** The initializer that holds them; absent where the format says them. */
  readonly value: Value | undefined;
  /** One number, one per index of the axis, or one per block. */
  readonly numbers: ArrayLike<number>;
}

/**
 * What the codes of a quantized constant mean: `real = scale · (levels[code] − zeroPoint)`. Scales and zero points are for the
 * whole tensor, for each index of `axis`, or for each run of `blockSize` indices of it.
 */
export interface Quantization {
  /** Shape of the codes: the tensor's own, or `[rows, blocks, block]` of packed weights. */
  readonly shape: readonly number[];
  /** Bits of a code in a tensor of bytes; 0 where the tensor's own elements are the codes. */
  readonly packedBits: number;
  /** Whether the first code of a byte is in its high bits. */
  readonly highFirst?: true;
  readonly axis: number;
  /** 0 for one number per index of the axis. */
  readonly blockSize: number;
  /** Codes of a row that count, of `[rows, blocks, block]`; the rest fills the last block. */
  readonly rowLength?: number;
  /** Absent where no scale is known: real numbers are then in units of it. */
  readonly scales: QuantizationNumbers | undefined;
  readonly zeroPoints: QuantizationNumbers;
  /** The number of each code, where that is not the code itself. */
  readonly levels?: readonly number[];
}

/** The codes of a tensor, one per element of `shape`. */
function codesOf(tensor: Tensor, { shape, packedBits, highFirst }: Quantization): ArrayLike<number> {
  if (packedBits === 0) return readNumbers(tensor);
  const codes = unpackBits(tensor.bytes, packedBits, elementCount(shape));
  if (!highFirst) return codes;
  return codes.map((_, i) => codes[i ^ 1]!);
}

/** Which of `count` numbers is for element `element` of the codes. */
export function numberIndex(
  { shape, axis, blockSize }: Quantization,
  count: number,
): (element: number) => number {
  if (count === 1) return () => 0;
  const size = shape[axis] ?? 1;
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  if (blockSize === 0) return (element) => Math.floor(element / inner) % size;
  const blocks = Math.ceil(size / blockSize);
  return (element) => {
    const at = Math.floor(element / inner) % size;
    const outer = Math.floor(element / (inner * size));
    return (outer * blocks + Math.floor(at / blockSize)) * inner + (element % inner);
  };
}

/** The real numbers of a quantized constant, in the shape of its codes. */
export function dequantize(tensor: Tensor, quantization: Quantization): Float32Array {
  const { shape, scales, zeroPoints, levels, rowLength } = quantization;
  const stride = shape.slice(1).reduce((a, b) => a * b, 1);
  const codes = codesOf(tensor, quantization);
  const scale = scales?.numbers ?? [1];
  const scaleAt = numberIndex(quantization, scale.length);
  const zeroAt = numberIndex(quantization, zeroPoints.numbers.length);
  return Float32Array.from({ length: codes.length }, (_, i) => {
    if (rowLength !== undefined && i % stride >= rowLength) return 0;
    const code = levels ? levels[codes[i]!]! : codes[i]!;
    return (code - zeroPoints.numbers[zeroAt(i)]!) * scale[scaleAt(i)]!;
  });
}

/** Codes of `bits` bits, the first in the low bits of a byte. */
export function unpackBits(bytes: Uint8Array, bits: number, count: number): Uint8Array {
  const perByte = 8 / bits;
  const codes = new Uint8Array(count);
  const mask = 2 ** bits - 1;
  for (let i = 0; i < count; i++)
    codes[i] = (bytes[Math.floor(i / perByte)]! >>> ((i % perByte) * bits)) & mask;
  return codes;
}

/** The reverse of `unpackBits`; the last byte is filled with zeros. */
export function packBits(codes: ArrayLike<number>, bits: number): Uint8Array {
  const perByte = 8 / bits;
  const bytes = new Uint8Array(Math.ceil(codes.length / perByte));
  for (let i = 0; i < codes.length; i++)
    bytes[Math.floor(i / perByte)]! |= codes[i]! << ((i % perByte) * bits);
  return bytes;
}

/** `[rows, columns]` codes of rows that are padded to whole bytes each. */
export function unpackRows(bytes: Uint8Array, bits: number, rows: number, columns: number): Uint8Array {
  const perRow = (Math.ceil((columns * bits) / 8) * 8) / bits;
  const all = unpackBits(bytes, bits, rows * perRow);
  return Uint8Array.from({ length: rows * columns }, (_, i) => {
    return all[Math.floor(i / columns) * perRow + (i % columns)]!;
  });
}

/** The reverse of `unpackRows`. */
export function packRows(codes: ArrayLike<number>, bits: number, rows: number, columns: number): Uint8Array {
  const perRow = (Math.ceil((columns * bits) / 8) * 8) / bits;
  const padded = new Uint8Array(rows * perRow);
  for (let i = 0; i < rows * columns; i++) {
    padded[Math.floor(i / columns) * perRow + (i % columns)] = codes[i]!;
  }
  return packBits(padded, bits);
}
