import { describeNode, type Node, type Value } from "../graph/graph.ts";
import { floatAttribute, intAttribute } from "../ops/attributes.ts";
import { isPadded, windowOf } from "../ops/window.ts";
import { whyNoBias } from "./layer-bias.ts";
import { packedWeights } from "./packed-weights.ts";
import { quantizedData } from "./quantized-data.ts";
import type { SliceContext } from "./slice-context.ts";

/** The fixed weights of a Gemm, MatMul, Conv or ConvTranspose as a matrix from input channels to output channels. */
export interface DenseWeights {
  /** Channel axis of input 0, and its size. */
  readonly dataAxis: number;
  readonly inputs: number;
  /** Channel axis of the output, and its size. */
  readonly outputAxis: number;
  /** The input that has the output channels on that axis, where output 0 does not: the weight of a packed attention. */
  readonly outputInput?: number;
  readonly outputs: number;
  /** Channels are in this many independent groups. */
  readonly groups: number;
  /** Sum of the weights (all taps of a kernel) from input channel k to output channel j of the same group. */
  readonly total: (k: number, j: number) => number;
  /** Whether any weight from k to j is not zero. */
  readonly connected: (k: number, j: number) => boolean;
  /** Why a constant channel other than zero does not add the same to every position, or has no bias to go to, if so. */
  readonly uneven: string | undefined;
  /** Whether the layer computes with rounded numbers, so that only zeros are followed. */
  readonly rounds?: true;
}

/** `undefined` where the weights are computed, or the operator is used in a form without channels. */
export function denseWeights(context: SliceContext): DenseWeights | undefined {
  const weights = floatWeights(context);
  const uneven = weights && quantizedData(context);
  if (!weights || uneven !== undefined) return weights && { ...weights, uneven, rounds: true };
  return { ...weights, uneven: weights.uneven ?? whyNoBias(context, weights.outputs) };
}

function floatWeights(context: SliceContext): DenseWeights | undefined {
  switch (context.node.op) {
    case "Gemm":
    case "FusedGemm":
      return gemmWeights(context);
    case "MatMul":
      return matmulWeights(context);
    case "FusedMatMul":
      return fusedMatmulWeights(context);
    case "Attention":
      return context.node.domain === "com.microsoft" ? packedProjections(context) : undefined;
    case "MatMulNBits":
    case "MatMulBnb4":
      return packedWeights(context);
    case "Conv":
    case "FusedConv":
      return convWeights(context);
    case "ConvTranspose":
      return convTransposeWeights(context);
    default:
      return undefined;
  }
}

function matrix(
  numbers: ArrayLike<number>,
  rowStride: number,
  columnStride: number,
  factor: number,
): Pick<DenseWeights, "total" | "connected"> {
  return {
    total: (k, j) => factor * numbers[k * rowStride + j * columnStride]!,
    connected: (k, j) => numbers[k * rowStride + j * columnStride] !== 0,
  };
}

/** y = α·A·B + β·C with `transA`, `transB`. */
function gemmWeights(context: SliceContext): DenseWeights | undefined {
  const numbers = context.numbers(1);
  const rows = context.size(1, 0);
  const columns = context.size(1, 1);
  if (!numbers || rows === undefined || columns === undefined) return undefined;
  const transB = intAttribute(context.node, "transB", 0) !== 0;
  const [inputs, outputs] = transB ? [columns, rows] : [rows, columns];
  return {
    dataAxis: intAttribute(context.node, "transA", 0) ? 0 : 1,
    outputAxis: 1,
    groups: 1,
    inputs,
    outputs,
    uneven: undefined,
    ...matrix(numbers, transB ? 1 : columns, transB ? columns : 1, floatAttribute(context.node, "alpha", 1)),
  };
}

/** Weights on the right, one matrix for all rows. */
function matmulWeights(context: SliceContext): DenseWeights | undefined {
  const rank = context.view.shape(0)?.length;
  const inputs = context.size(1, 0);
  const outputs = context.size(1, 1);
  if (context.view.shape(1)?.length !== 2 || !rank || inputs === undefined || outputs === undefined)
    return undefined;
  const numbers = context.numbers(1);
  if (!numbers) return undefined;
  return {
    dataAxis: rank - 1,
    outputAxis: Math.max(rank, 2) - 1,
    groups: 1,
    inputs,
    outputs,
    uneven: undefined,
    ...matrix(numbers, outputs, 1, 1),
  };
}

/** As `matmulWeights`, times α, with `transA` and `transB`. */
function fusedMatmulWeights(context: SliceContext): DenseWeights | undefined {
  const rank = context.view.shape(0)?.length ?? 0;
  const [rows, columns] = [context.size(1, 0), context.size(1, 1)];
  const numbers = context.numbers(1);
  if (context.view.shape(1)?.length !== 2 || rank < 2 || !rows || !columns || !numbers) return undefined;
  const transB = intAttribute(context.node, "transB", 0) !== 0;
  const [inputs, outputs] = transB ? [columns, rows] : [rows, columns];
  return {
    dataAxis: intAttribute(context.node, "transA", 0) === 0 ? rank - 1 : rank - 2,
    outputAxis: rank - 1,
    groups: 1,
    inputs,
    outputs,
    uneven: undefined,
    ...matrix(numbers, transB ? 1 : columns, transB ? columns : 1, floatAttribute(context.node, "alpha", 1)),
  };
}

/** The projection to Q, K and V inside com.microsoft.Attention, whose outputs are the weight's columns. */
function packedProjections(context: SliceContext): DenseWeights | undefined {
  const [inputs, outputs] = [context.size(1, 0), context.size(1, 1)];
  const numbers = context.numbers(1);
  if (!inputs || !outputs || !numbers) return undefined;
  const whole = { dataAxis: 2, outputAxis: 1, outputInput: 1, groups: 1, uneven: undefined };
  return { ...whole, inputs, outputs, ...matrix(numbers, outputs, 1, 1) };
}

/** The value that has the output channels on `outputAxis`. */
export function outputValue(node: Node, { outputInput }: DenseWeights): Value | undefined {
  return outputInput === undefined ? node.outputs[0] : node.inputs[outputInput];
}

/** Weights `[O, C/g, …]`. */
function convWeights(context: SliceContext): DenseWeights | undefined {
  const shape = fixedShape(context);
  const numbers = context.numbers(1);
  if (!shape || !numbers) return undefined;
  const groups = intAttribute(context.node, "group", 1);
  const [outputs, perGroup] = [shape[0]!, shape[1]!];
  const kernel = shape.slice(2);
  const taps = kernel.reduce((a, b) => a * b, 1);
  const window = windowOf(context.node, kernel, context.view.shape(0)?.slice(2) ?? []);
  const start = (k: number, j: number): number => (j * perGroup + (k % perGroup)) * taps;
  return {
    dataAxis: 1,
    outputAxis: 1,
    inputs: perGroup * groups,
    outputs,
    groups,
    ...tapSums(numbers, start, taps),
    uneven: isPadded(window)
      ? `${describeNode(context.node)} pads with zeros, so a constant channel adds less at the border`
      : undefined,
  };
}

/** Weights `[C, O/g, …]`. */
function convTransposeWeights(context: SliceContext): DenseWeights | undefined {
  const shape = fixedShape(context);
  const numbers = context.numbers(1);
  if (!shape || !numbers) return undefined;
  const groups = intAttribute(context.node, "group", 1);
  const [inputs, perGroup] = [shape[0]!, shape[1]!];
  const kernel = shape.slice(2);
  const taps = kernel.reduce((a, b) => a * b, 1);
  const window = windowOf(context.node, kernel, context.view.shape(0)?.slice(2) ?? []);
  const start = (k: number, j: number): number => (k * perGroup + (j % perGroup)) * taps;
  const plain = taps === 1 && window.strides.every((stride) => stride === 1) && !isPadded(window);
  return {
    dataAxis: 1,
    outputAxis: 1,
    inputs,
    outputs: perGroup * groups,
    groups,
    ...tapSums(numbers, start, taps),
    uneven: plain
      ? undefined
      : `${describeNode(context.node)} spreads its input, so a constant channel does not add the same everywhere`,
  };
}

function tapSums(
  numbers: ArrayLike<number>,
  start: (k: number, j: number) => number,
  taps: number,
): Pick<DenseWeights, "total" | "connected"> {
  return {
    total(k, j) {
      let sum = 0;
      for (let i = start(k, j), end = i + taps; i < end; i++) sum += numbers[i]!;
      return sum;
    },
    connected(k, j) {
      for (let i = start(k, j), end = i + taps; i < end; i++) if (numbers[i] !== 0) return true;
      return false;
    },
  };
}

function fixedShape(context: SliceContext): readonly number[] | undefined {
  const shape = context.view.shape(1);
  return shape?.every((dim) => typeof dim === "number") ? shape : undefined;
}

/** Output channels `[from, to)` that input channel k reaches. */
export function outputsOf({ inputs, outputs, groups }: DenseWeights, k: number): readonly [number, number] {
  const group = Math.floor(k / (inputs / groups));
  return [(group * outputs) / groups, ((group + 1) * outputs) / groups];
}

/** Input channels `[from, to)` that reach output channel j. */
export function inputsOf({ inputs, outputs, groups }: DenseWeights, j: number): readonly [number, number] {
  const group = Math.floor(j / (outputs / groups));
  return [(group * inputs) / groups, ((group + 1) * inputs) / groups];
}
