import type { Graph, Node, Value } from "../graph/graph.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { intAttribute } from "../ops/attributes.ts";
import { isBlockwise, isDequantizeLinear, quantizedForm } from "../ops/quantized-forms.ts";
import { fp4Levels, nf4Levels } from "./bnb4-levels.ts";
import { type Quantization, type QuantizationNumbers, unpackRows } from "./quantization.ts";

/**
 * What the codes of a constant mean, by the first of its readers that says it; `undefined` for a constant that is not quantized,
 * and where scales or zero points are computed.
 */
export function quantizationOf(graph: Graph, value: Value): Quantization | undefined {
  return quantizationsOf(graph, value)[0];
}

/** The meaning of a constant for each of its readers that gives it one. */
export function quantizationsOf(graph: Graph, value: Value): Quantization[] {
  const { data } = value;
  if (!data) return [];
  return graph.uses(value).flatMap(({ node, index }) => {
    if (!node || index < 0) return [];
    const found = readerQuantization(graph, node, index);
    if (found) return [found];
    // A table is looked up first and dequantized as a whole then.
    const moved = node.op === "Gather" && node.domain === "" && index === 0 ? node.outputs[0] : undefined;
    return (moved ? graph.uses(moved) : []).flatMap((use) => {
      const later = use.node && isDequantizeLinear(use.node) && use.index === 0 ? use.node : undefined;
      const linear = later && linearQuantization(later, data.shape);
      return linear && linear.zeroPoints.numbers.length === 1 && linear.scales?.numbers.length === 1
        ? [linear]
        : [];
    });
  });
}

/** The meaning of a constant for one of its readers; `undefined` where it gives it none. */
export function readerQuantization(graph: Graph, node: Node, index: number): Quantization | undefined {
  const value = node.inputs[index]!;
  if (isDequantizeLinear(node)) return index === 0 ? linearQuantization(node, value.data!.shape) : undefined;
  if (isBlockwise(node, "MatMulNBits")) return index === 1 ? nBits(node) : undefined;
  if (isBlockwise(node, "MatMulBnb4")) return index === 1 ? bnb4(node) : undefined;
  if (isBlockwise(node, "GatherBlockQuantized")) return index === 0 ? packedTable(node) : undefined;
  return operandQuantization(graph, node, index);
}

/** Of an operand of a node that stands for a float operator. */
export function operandQuantization(graph: Graph, node: Node, index: number): Quantization | undefined {
  const form = quantizedForm(node);
  const position = form?.operands.findIndex(({ value }) => value === index) ?? -1;
  const operand = form?.operands[position];
  const shape = node.inputs[index]?.data?.shape;
  if (!form || !operand || operand.zeroPoint === undefined || !shape) return undefined;
  const zeroPoints = numbersOf(node, operand.zeroPoint, 0);
  if (!zeroPoints) return undefined;
  const scales =
    operand.scale === undefined
      ? position === 1
        ? laterScale(graph, node)
        : undefined
      : numbersOf(node, operand.scale);
  const axis =
    form.op === "Conv" ? 0 : form.op === "Gemm" && intAttribute(node, "transB", 0) ? 0 : shape.length - 1;
  const fits = (found: QuantizationNumbers | undefined): boolean =>
    !found || found.numbers.length === 1 || found.numbers.length === shape[axis];
  if (!fits(zeroPoints)) return undefined;
  return { shape, packedBits: 0, axis, blockSize: 0, scales: fits(scales) ? scales : undefined, zeroPoints };
}

/** Numbers of a fixed input; `fallback` if it is left out, `undefined` if it is computed. */
function numbersOf(node: Node, index: number, fallback?: number): QuantizationNumbers | undefined {
  const value = node.inputs[index];
  if (!value) return fallback === undefined ? undefined : { value, numbers: [fallback] };
  return value.data && { value, numbers: readNumbers(value.data) };
}

/** `Mul(Cast(MatMulInteger), Mul(data scale, weight scale))`: the weight's scale follows the integer sum. */
function laterScale(graph: Graph, node: Node): QuantizationNumbers | undefined {
  const cast = onlyReader(graph, node.outputs[0], "Cast");
  const scaled = cast && onlyReader(graph, cast.outputs[0], "Mul");
  for (const factor of scaled?.inputs ?? []) {
    if (!factor || factor === cast!.outputs[0]) continue;
    const parts = factor.data ? [factor] : (producerOf(graph, factor, "Mul")?.inputs ?? []);
    const fixed = parts.find((part) => part?.data);
    if (fixed?.data) return { value: fixed, numbers: readNumbers(fixed.data) };
  }
  return undefined;
}

function onlyReader(graph: Graph, value: Value | undefined, op: string): Node | undefined {
  const uses = value ? graph.uses(value) : [];
  const node = uses.length === 1 ? uses[0]!.node : undefined;
  return node?.op === op && node.domain === "" ? node : undefined;
}

function producerOf(graph: Graph, value: Value, op: string): Node | undefined {
  const node = graph.producer(value);
  return node?.op === op && node.domain === "" ? node : undefined;
}

function linearQuantization(node: Node, shape: readonly number[]): Quantization | undefined {
  const scales = numbersOf(node, 1);
  const zeroPoints = numbersOf(node, 2, 0);
  if (!scales || !zeroPoints) return undefined;
  const axis = intAttribute(node, "axis", 1);
  return {
    shape,
    packedBits: 0,
    axis: shape.length === 1 ? 0 : axis < 0 ? axis + shape.length : axis,
    blockSize: intAttribute(node, "block_size", 0),
    scales,
    zeroPoints,
  };
}

/** `MatMulNBits`: B `[N, blocks, block·bits/8]`; without zero points the middle code is zero. */
function nBits(node: Node): Quantization | undefined {
  const shape = node.inputs[1]?.data?.shape;
  const bits = intAttribute(node, "bits", 4);
  const block = intAttribute(node, "block_size", 0);
  const scales = numbersOf(node, 2);
  if (shape?.length !== 3 || block < 1 || !scales) return undefined;
  const [rows, blocks] = [shape[0]!, shape[1]!];
  const zeroPoints = packedZeroPoints(node, bits, rows, blocks);
  if (!zeroPoints) return undefined;
  return {
    shape: [rows, blocks, block],
    packedBits: bits,
    axis: 2,
    blockSize: block,
    rowLength: intAttribute(node, "K", blocks * block),
    scales,
    zeroPoints,
  };
}

function packedZeroPoints(
  node: Node,
  bits: number,
  rows: number,
  blocks: number,
): QuantizationNumbers | undefined {
  const found = numbersOf(node, 3, 2 ** (bits - 1));
  const data = found?.value?.data;
  return data?.dtype === "uint8" && bits < 8
    ? { value: found!.value, numbers: unpackRows(data.bytes, bits, rows, blocks) }
    : found;
}

/** `MatMulBnb4`: codes of a table of 16 levels, row after row, each block scaled by its largest value. */
function bnb4(node: Node): Quantization | undefined {
  const scales = numbersOf(node, 2);
  const rows = intAttribute(node, "N", 0);
  const depth = intAttribute(node, "K", 0);
  const block = intAttribute(node, "block_size", 0);
  if (!scales || rows < 1 || block < 1 || depth % block !== 0) return undefined;
  return {
    shape: [rows, depth / block, block],
    packedBits: 4,
    highFirst: true,
    axis: 2,
    blockSize: block,
    rowLength: depth,
    scales,
    zeroPoints: { value: undefined, numbers: [0] },
    levels: intAttribute(node, "quant_type", 1) === 0 ? fp4Levels : nf4Levels,
  };
}

/** `GatherBlockQuantized`: a table `[rows, width]`; a table of bytes holds several elements in each. */
function packedTable(node: Node): Quantization | undefined {
  const data = node.inputs[0]?.data;
  const scales = numbersOf(node, 2);
  const blockSize = intAttribute(node, "block_size", 128);
  if (data?.shape.length !== 2 || !scales) return undefined;
  const bits = data.dtype === "uint8" ? intAttribute(node, "bits", 4) : 0;
  const [rows, columns] = [data.shape[0]!, data.shape[1]!];
  const width = bits === 0 ? columns : (columns * 8) / bits;
  const zeroPoints =
    bits === 0 ? numbersOf(node, 3, 0) : packedZeroPoints(node, bits, rows, Math.ceil(width / blockSize));
  return zeroPoints && { shape: [rows, width], packedBits: bits, axis: 1, blockSize, scales, zeroPoints };
}
