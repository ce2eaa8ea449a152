import { DgateError } from "@dgate/core";
import type { Graph, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { elementCount } from "../io/element-types.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { numberIndex, packBits, type Quantization, unpackBits } from "../quantization/quantization.ts";
import { quantizationsOf } from "../quantization/quantization-of.ts";

/**
 * Sets slices of a quantized weight to what means zero, and says whether it did; false for a tensor that is not quantized.
 *
 * - Codes become their zero point: `(zeroPoint − zeroPoint) · scale` is 0 whatever the scale, and stays so in integer kernels.
 * - Weights whose blocks each have a scale of their own (MatMulNBits, MatMulBnb4) keep their codes; the scales become 0. That is
 *   exact where the zero point is a fraction, and where a kernel subtracts zero points after the sum, with a rounding error.
 *
 * @throws DgateError `UNSUPPORTED` where the readers of the tensor mean zero by different codes, and for a part of a block
 */
export function zeroQuantized(graph: Graph, value: Value, axis: number, dead: readonly number[]): boolean {
  const [quantization, ...others] = quantizationsOf(graph, value);
  const data = value.data;
  if (!quantization || !data) return false;
  if (quantization.blockSize > 0 && quantization.rowLength !== undefined) {
    for (const each of [quantization, ...others]) zeroScales(graph, value, each, axis, dead);
    return true;
  }
  const codes = zeroCodes(quantization);
  if (others.some((other) => !sameCodes(codes, zeroCodes(other), elementCount(quantization.shape)))) {
    throw new DgateError(
      "UNSUPPORTED",
      `mask: "${value.name}" is read with different zero points, so that no code means zero to all its readers. Leave its ` +
        "site out of the plan.",
    );
  }
  value.data =
    quantization.packedBits === 0
      ? withSlices(data, axis, dead, codes)
      : packedSlices(data, quantization, axis, dead, codes);
  return true;
}

type CodeAt = (element: number) => number;

/** The code that means zero at each element. */
function zeroCodes(quantization: Quantization): CodeAt {
  const { numbers } = quantization.zeroPoints;
  const at = numberIndex(quantization, numbers.length);
  return (element) => numbers[at(element)]!;
}

function sameCodes(a: CodeAt, b: CodeAt, count: number): boolean {
  for (let i = 0; i < count; i++) if (a(i) !== b(i)) return false;
  return true;
}

/** A tensor with the slices `indices` of an axis replaced, element by element. */
export function withSlices(tensor: Tensor, axis: number, indices: readonly number[], codeAt: CodeAt): Tensor {
  const numbers = readNumbers(tensor);
  forEachElement(tensor.shape, axis, indices, (element) => {
    numbers[element] = codeAt(element);
  });
  return tensorOf(tensor.dtype, tensor.shape, numbers);
}

function forEachElement(
  shape: readonly number[],
  axis: number,
  indices: readonly number[],
  visit: (element: number) => void,
): void {
  const size = shape[axis]!;
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const outer = shape.slice(0, axis).reduce((a, b) => a * b, 1);
  for (let o = 0; o < outer; o++) {
    for (const index of indices) {
      const start = (o * size + index) * inner;
      for (let i = start; i < start + inner; i++) visit(i);
    }
  }
}

/** As `withSlices`, for a tensor of bytes with several codes in each. */
function packedSlices(
  data: Tensor,
  { packedBits, highFirst }: Quantization,
  axis: number,
  dead: readonly number[],
  codeAt: CodeAt,
): Tensor {
  const perByte = 8 / packedBits;
  const codes = unpackBits(data.bytes, packedBits, data.bytes.length * perByte);
  forEachElement([...data.shape, perByte], axis, dead, (element) => {
    codes[element] = codeAt(highFirst ? element ^ 1 : element);
  });
  return { ...data, bytes: packBits(codes, packedBits) };
}

/** Sets the scale of every block that lies in the slices to zero. */
function zeroScales(
  graph: Graph,
  value: Value,
  { shape, packedBits, scales }: Quantization,
  axis: number,
  dead: readonly number[],
): void {
  const { shape: own, bytes } = value.data!;
  const bytesPerBlock = (shape[2]! * packedBits) / 8;
  const inBlock = new Uint32Array(bytes.length / bytesPerBlock);
  forEachElement(own, axis, dead, (byte) => {
    inBlock[Math.floor(byte / bytesPerBlock)]! += 1;
  });
  const held = scales?.value;
  if (!held?.data || inBlock.some((count) => count > 0 && count < bytesPerBlock)) {
    throw new DgateError(
      "UNSUPPORTED",
      `mask: the plan names a part of a block of ${shape[2]} weights of "${value.name}"; its blocks can only go as a whole.`,
    );
  }
  const numbers = readNumbers(held.data);
  inBlock.forEach((count, block) => {
    if (count > 0) numbers[block] = 0;
  });
  graph.setData(held, tensorOf(held.data.dtype, held.data.shape, numbers));
}
