import { float } from "../graph/attribute.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { floatAttribute, intAttribute } from "../ops/attributes.ts";

/** Where a layer's bias is, or can be put. */
export type BiasPlace =
  /** Input 2 of the node itself, which may be empty. */
  | { readonly kind: "own" }
  /** Input `index` of an Add that is the only reader of the node. */
  | { readonly kind: "add"; readonly add: Node; readonly index: number }
  | { readonly kind: "none" };

/** Sizes of a layer as independent linear maps, one per group of a Conv. */
export interface LayerSizes {
  readonly groups: number;
  /** Inputs of an output, without the bias. */
  readonly depth: number;
  /** Outputs of a group. */
  readonly outputs: number;
}

/** A Gemm, MatMul or Conv with a constant weight. */
export interface WeightedNode {
  readonly node: Node;
  readonly bias: BiasPlace;
}

/** Where the weight's axes are: of what is summed over, and of the outputs. */
export function weightAxes(node: Node): { readonly input: number; readonly output: number } {
  const outputsFirst = node.op === "Conv" || (node.op === "Gemm" && intAttribute(node, "transB", 0) !== 0);
  return outputsFirst ? { input: 1, output: 0 } : { input: 0, output: 1 };
}

export function sizesOf({ node }: WeightedNode): LayerSizes {
  const { shape } = node.inputs[1]!.data!;
  const groups = node.op === "Conv" ? intAttribute(node, "group", 1) : 1;
  const outputs = shape[weightAxes(node).output]!;
  const elements = shape.reduce((a, b) => a * b, 1);
  return { groups, depth: elements / outputs, outputs: outputs / groups };
}

/**
 * The weights that a layer works with, α of Gemm multiplied in: one row of inputs per output, with the bias (β multiplied in;
 * 0 where there is none) as a last input if the layer has a place for one.
 *
 * @returns `[groups · outputs, depth (+ 1)]` in float64
 */
export function readWeights(layer: WeightedNode): Float64Array {
  const { node, bias } = layer;
  const { groups, depth, outputs } = sizesOf(layer);
  const numbers = readNumbers(node.inputs[1]!.data!);
  const alpha = node.op === "Gemm" ? floatAttribute(node, "alpha", 1) : 1;
  const rows = groups * outputs;
  const k = bias.kind === "none" ? depth : depth + 1;
  const biases = bias.kind === "none" ? undefined : readBias(layer, rows);
  const weights = new Float64Array(rows * k);
  const [rowStride, columnStride] = weightAxes(node).output === 0 ? [depth, 1] : [1, rows];
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < depth; i++) weights[j * k + i] = alpha * numbers[j * rowStride + i * columnStride]!;
    if (biases) weights[j * k + depth] = biases[j]!;
  }
  return weights;
}

/** The weights as the element type of the layer can hold them, in float64 again. */
export function roundTo(dtype: DataType, weights: Float64Array): Float64Array {
  return Float64Array.from(readNumbers(tensorOf(dtype, [weights.length], weights)));
}

/** Gives a layer the weights that `readWeights` would read. α and β of a Gemm become 1, a missing bias is made. */
export function writeWeights(graph: Graph, layer: WeightedNode, weights: Float64Array): void {
  const { node, bias } = layer;
  const { groups, depth, outputs } = sizesOf(layer);
  const rows = groups * outputs;
  const k = bias.kind === "none" ? depth : depth + 1;
  const weight = node.inputs[1]!;
  const { dtype, shape } = weight.data!;
  const numbers = new Float64Array(rows * depth);
  const [rowStride, columnStride] = weightAxes(node).output === 0 ? [depth, 1] : [1, rows];
  for (let j = 0; j < rows; j++) {
    for (let i = 0; i < depth; i++) numbers[j * rowStride + i * columnStride] = weights[j * k + i]!;
  }
  graph.setData(weight, tensorOf(dtype, shape, numbers));
  if (node.op === "Gemm") {
    for (const name of ["alpha", "beta"])
      if (floatAttribute(node, name, 1) !== 1) graph.setAttribute(node, name, float(1));
  }
  if (bias.kind === "none") return;
  const biases = Float64Array.from({ length: rows }, (_, j) => weights[j * k + depth]!);
  writeBias(graph, layer, dtype, biases);
}

function biasValue({ node, bias }: WeightedNode): Value | undefined {
  if (bias.kind === "none") return undefined;
  return bias.kind === "own" ? node.inputs[2] : bias.add.inputs[bias.index];
}

function readBias(layer: WeightedNode, rows: number): Float64Array {
  const data = biasValue(layer)?.data;
  if (!data) return new Float64Array(rows);
  const { node, bias } = layer;
  const beta = node.op === "Gemm" && bias.kind === "own" ? floatAttribute(node, "beta", 1) : 1;
  const numbers = readNumbers(data);
  return Float64Array.from({ length: rows }, (_, j) => beta * numbers[numbers.length === 1 ? 0 : j]!);
}

/** A bias that others read too, or that is one number for all outputs, makes way for one of the layer's own. */
function writeBias(graph: Graph, layer: WeightedNode, dtype: DataType, biases: Float64Array): void {
  const { node, bias } = layer;
  const old = biasValue(layer);
  const fits = old?.data?.shape.reduce((a, b) => a * b, 1) === biases.length;
  const shape = fits ? old.data!.shape : biasShape(layer, biases.length);
  const data = tensorOf(dtype, shape, biases);
  if (old && fits && graph.uses(old).length === 1) return graph.setData(old, data);
  const value = graph.addInitializer(graph.freshName(old?.name ?? `${node.inputs[1]!.name}.bias`), data);
  if (bias.kind === "own") graph.setInput(node, 2, value);
  else if (bias.kind === "add") graph.setInput(bias.add, bias.index, value);
  if (old && graph.uses(old).length === 0) graph.removeInitializer(old);
}

/** Channels are the last axis, but for a bias that is added to the output of a Conv. */
function biasShape({ node, bias }: WeightedNode, channels: number): number[] {
  const positions = bias.kind === "add" && node.op === "Conv" ? node.inputs[1]!.data!.shape.length - 2 : 0;
  return [channels, ...Array.from({ length: positions }, () => 1)];
}
