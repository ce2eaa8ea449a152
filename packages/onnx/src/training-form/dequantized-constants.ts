import type { Graph, Node, Value } from "../graph/graph.ts";
import type { DataType, Tensor } from "../graph/tensor.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { intAttribute } from "../ops/attributes.ts";
import { fp4Levels, nf4Levels } from "../quantization/bnb4-levels.ts";
import { dequantize, type Quantization } from "../quantization/quantization.ts";
import { readerQuantization } from "../quantization/quantization-of.ts";
import type { Meaning } from "./real-values.ts";
import { refuse } from "./refuse.ts";

/** The float type that numbers times these scales have. */
function floatType(scales: Value | undefined): DataType {
  const dtype = scales?.data?.dtype;
  return dtype === "float16" || dtype === "bfloat16" || dtype === "float64" ? dtype : "float32";
}

/** A constant of codes as a float tensor of its own shape. */
export function plainMeaning(codes: Value, quantization: Quantization): Meaning {
  const { scales, zeroPoints, axis } = quantization;
  const isWhole = (scales?.numbers.length ?? 1) === 1 && zeroPoints.numbers.length === 1;
  return {
    scale: scales?.value,
    zeroPoint: zeroPoints.value,
    axis: isWhole ? -1 : axis,
    make: () => tensorOf(floatType(scales?.value), codes.data!.shape, dequantize(codes.data!, quantization)),
  };
}

/** The weight of a MatMulNBits or MatMulBnb4 as a float matrix `[inputs, outputs]`. */
export function packedMatrix(graph: Graph, node: Node, codes: Value): Meaning {
  const found = node.op === "MatMulBnb4" ? bnb4(node) : readerQuantization(graph, node, 1);
  const { scales, zeroPoints, rowLength } =
    found ?? refuse(node, "its scales or zero points are computed, or its blocks have an unknown form");
  const rows = intAttribute(node, "N", 0);
  const depth = intAttribute(node, "K", 0);
  const stride = rowLength === depth ? found!.shape.slice(1).reduce((a, b) => a * b, 1) : depth;
  const make = (): Tensor => {
    const numbers = dequantize(codes.data!, found!);
    const matrix = new Float32Array(rows * depth);
    for (let row = 0; row < rows; row++)
      for (let i = 0; i < depth; i++) matrix[i * rows + row] = numbers[row * stride + i]!;
    return tensorOf(floatType(scales?.value), [depth, rows], matrix);
  };
  return { scale: scales?.value, zeroPoint: zeroPoints.value, axis: 0, make };
}

/** The flat codes of a MatMulBnb4: blocks may span rows. */
function bnb4(node: Node): Quantization | undefined {
  const scale = node.inputs[2];
  const block = intAttribute(node, "block_size", 0);
  const count = intAttribute(node, "N", 0) * intAttribute(node, "K", 0);
  if (!scale?.data || block < 2 || intAttribute(node, "transB", 1) === 0) return undefined;
  return {
    shape: [1, Math.ceil(count / block), block],
    packedBits: 4,
    highFirst: true,
    axis: 2,
    blockSize: block,
    rowLength: count,
    scales: { value: scale, numbers: readNumbers(scale.data) },
    zeroPoints: { value: undefined, numbers: [0] },
    levels: intAttribute(node, "quant_type", 1) === 0 ? fp4Levels : nf4Levels,
  };
}

/** The table of a GatherBlockQuantized as a float table `[rows, width]`. */
export function packedTable(graph: Graph, node: Node, codes: Value): Meaning {
  const found = readerQuantization(graph, node, 0);
  const isPlain =
    intAttribute(node, "gather_axis", 0) === 0 && [1, -1].includes(intAttribute(node, "quantize_axis", 1));
  if (!found || !isPlain) return refuse(node, "its table is no matrix with blocks in its rows");
  const { scales, zeroPoints, axis, shape } = found;
  const make = (): Tensor => tensorOf(floatType(scales?.value), shape, dequantize(codes.data!, found));
  return { scale: scales?.value, zeroPoint: zeroPoints.value, axis, make };
}

/** An int32 bias of a sum whose operands have these scales. */
export function biasMeaning(bias: Value, dataScale: Value, weightScale: Value, factor: number): Meaning {
  const data = factor * readNumbers(dataScale.data!)[0]!;
  const weights = readNumbers(weightScale.data!);
  const make = (): Tensor => {
    const numbers = readNumbers(bias.data!);
    const size = bias.data!.shape.at(-1) ?? 1;
    const step = (i: number): number => data * weights[weights.length === 1 ? 0 : i % size]!;
    return tensorOf(
      floatType(dataScale),
      bias.data!.shape,
      Float32Array.from(numbers, (number, i) => number * step(i)),
    );
  };
  return { scale: dataScale, zeroPoint: weightScale, axis: 0, make };
}
