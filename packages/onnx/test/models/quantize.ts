import {
  type Attribute,
  type DataType,
  type Graph,
  int,
  type Node,
  readNumbers,
  type Tensor,
  tensorOf,
  transposeTensor,
  type Value,
} from "@dgate/onnx";
import { intAttribute } from "../../src/ops/attributes.ts";
import { codeRanges, quantizeRuns, runsOf } from "./quantize-numbers.ts";

/** Adds nodes to a graph that is being quantized. */
export class Rewriter {
  readonly graph: Graph;

  constructor(float: Graph) {
    this.graph = float.clone();
    this.graph.opsets.set("com.microsoft", 1);
    this.graph.info = { ...this.graph.info, irVersion: Math.max(10, this.graph.info.irVersion) };
  }

  /** A node with one output. */
  op(
    op: string,
    inputs: readonly (Value | undefined)[],
    attributes: Readonly<Record<string, Attribute>> = {},
    name = "",
    domain = "",
  ): Value {
    return this.graph.addNode({ op, inputs, attributes, name, domain }).outputs[0]!;
  }

  constant(name: string, dtype: DataType, shape: readonly number[], numbers: ArrayLike<number>): Value {
    return this.graph.addInitializer(this.graph.freshName(name), tensorOf(dtype, shape, numbers));
  }

  scalar(name: string, dtype: DataType, number: number): Value {
    return this.constant(name, dtype, [], [number]);
  }

  /** Puts `value` in the place of what `node` writes, under the same name, and removes the node. */
  replace(node: Node, value: Value): void {
    const { graph } = this;
    const output = node.outputs[0]!;
    const { name } = output;
    graph.replaceUses(output, value);
    graph.remove(node);
    graph.rename(value, name);
    for (const input of node.inputs) {
      if (input?.data && graph.uses(input).length === 0) graph.removeInitializer(input);
    }
  }
}

/** A MatMul, Gemm or Conv with constant weights. */
export interface Layer {
  readonly node: Node;
  readonly weight: Tensor;
  readonly bias: Tensor | undefined;
  /** The weight's axis with the outputs. */
  readonly axis: number;
  readonly isConv: boolean;
}

export function layersOf(graph: Graph): Layer[] {
  return graph.nodes().flatMap((node): Layer[] => {
    const [data, weight, bias] = node.inputs;
    if (!["MatMul", "Gemm", "Conv"].includes(node.op) || !data || !weight?.data) return [];
    const isConv = node.op === "Conv";
    const axis = isConv || intAttribute(node, "transB", 0) ? 0 : 1;
    return [{ node, weight: weight.data, bias: bias?.data, axis, isConv }];
  });
}

/** The weight of a MatMul or Gemm as `[inputs, outputs]`. */
const asMatrix = ({ weight, axis }: Layer): Tensor => (axis === 1 ? weight : transposeTensor(weight));

export interface DynamicOptions {
  readonly type?: "int8" | "uint8";
  readonly perChannel?: boolean;
  readonly symmetric?: boolean;
  /** 7 bits, for kernels whose sums of 8-bit products saturate. */
  readonly reduceRange?: boolean;
  /** `MatMulIntegerToFloat` and `DynamicQuantizeMatMul` in place of the chain of plain operators. */
  readonly fused?: "MatMulIntegerToFloat" | "DynamicQuantizeMatMul";
}

/**
 * Dynamic 8-bit quantization: DynamicQuantizeLinear → MatMulInteger or ConvInteger → Cast → Mul(scales) → Add(bias). Layers that
 * read the same value share one DynamicQuantizeLinear.
 */
export function dynamicInt8(graph: Graph, options: DynamicOptions = {}): Graph {
  const to = new Rewriter(graph);
  const quantized = new Map<Value, readonly (Value | undefined)[]>();
  for (const layer of layersOf(to.graph)) {
    const { node, isConv } = layer;
    const data = node.inputs[0]!;
    const weight = quantizedWeight(
      to,
      layer,
      isConv ? { ...options, perChannel: false, type: "uint8" } : options,
    );
    const bias =
      layer.bias &&
      to.constant(
        `${node.name}/bias_float`,
        "float32",
        isConv ? [1, layer.bias.shape[0]!, 1, 1] : layer.bias.shape,
        readNumbers(layer.bias),
      );
    if (!isConv && options.fused === "DynamicQuantizeMatMul") {
      const inputs = [data, weight.codes, weight.scale, weight.zeroPoint, bias];
      to.replace(node, to.op(options.fused, inputs, {}, node.name, "com.microsoft"));
      continue;
    }
    const parts =
      quantized.get(data) ??
      to.graph.addNode({ op: "DynamicQuantizeLinear", inputs: [data], outputs: 3 }).outputs;
    quantized.set(data, parts);
    const [codes, scale, zeroPoint] = parts;
    if (!isConv && options.fused === "MatMulIntegerToFloat") {
      const inputs = [codes, weight.codes, scale, weight.scale, zeroPoint, weight.zeroPoint, bias];
      to.replace(node, to.op(options.fused, inputs, {}, node.name, "com.microsoft"));
      continue;
    }
    const attributes = isConv ? Object.fromEntries(node.attributes) : {};
    const sum = to.op(
      isConv ? "ConvInteger" : "MatMulInteger",
      [codes, weight.codes, zeroPoint, weight.zeroPoint],
      attributes,
      node.name,
    );
    const scales = to.op("Mul", [scale, weight.scale]);
    const real = to.op("Mul", [to.op("Cast", [sum], { to: int(1) }), scales]);
    to.replace(node, bias ? to.op("Add", [real, bias]) : real);
  }
  return to.graph;
}

function quantizedWeight(
  to: Rewriter,
  layer: Layer,
  { type = "int8", perChannel = false, symmetric = false, reduceRange = false }: DynamicOptions,
): { codes: Value; scale: Value; zeroPoint: Value } {
  const { node, isConv } = layer;
  const weight = isConv ? layer.weight : asMatrix(layer);
  const axis = perChannel ? (isConv ? 0 : 1) : undefined;
  const runs = runsOf(weight.shape, axis);
  const [low, high] = codeRanges[type];
  const range = reduceRange ? ([Math.trunc(low / 2), Math.trunc(high / 2)] as const) : ([low, high] as const);
  const count = runs.shape.reduce((a, b) => a * b, 1);
  const found = quantizeRuns(readNumbers(weight), count, runs.runOf, range, symmetric);
  return {
    codes: to.constant(`${node.name}/quantized`, type, weight.shape, found.codes),
    scale: to.constant(`${node.name}/scale`, "float32", runs.shape, found.scales),
    zeroPoint: to.constant(`${node.name}/zero_point`, type, runs.shape, found.zeroPoints),
  };
}

export interface WeightOptions {
  readonly type: "int8" | "uint8" | "int4" | "uint4";
  readonly perChannel?: boolean;
  /** Blocks along the inputs, of operator set 21. */
  readonly blockSize?: number;
  readonly symmetric?: boolean;
}

/** `DequantizeLinear(codes, scales, zero points)` in the place of a layer's weight. */
export function dequantizedWeight(to: Rewriter, layer: Layer, options: WeightOptions): Value {
  const { node, weight } = layer;
  const { type, perChannel = false, blockSize = 0, symmetric = false } = options;
  const axis = blockSize > 0 ? 1 - layer.axis : perChannel ? layer.axis : undefined;
  const runs = runsOf(weight.shape, axis, blockSize);
  const count = runs.shape.reduce((a, b) => a * b, 1);
  const found = quantizeRuns(readNumbers(weight), count, runs.runOf, codeRanges[type], symmetric);
  const inputs = [
    to.constant(`${node.name}/quantized`, type, weight.shape, found.codes),
    to.constant(`${node.name}/scale`, "float32", runs.shape, found.scales),
    to.constant(`${node.name}/zero_point`, type, runs.shape, found.zeroPoints),
  ];
  return to.op("DequantizeLinear", inputs, {
    ...(axis !== undefined && { axis: int(axis) }),
    ...(blockSize > 0 && { block_size: int(blockSize) }),
  });
}

/** Weights alone in integers, behind DequantizeLinear; data stays float. */
export function dequantizedWeights(graph: Graph, options: WeightOptions): Graph {
  const to = new Rewriter(graph);
  for (const layer of layersOf(to.graph)) {
    const before = layer.node.inputs[1]!;
    to.graph.setInput(layer.node, 1, dequantizedWeight(to, layer, options));
    if (to.graph.uses(before).length === 0) to.graph.removeInitializer(before);
  }
  return to.graph;
}

export interface BlockOptions {
  readonly bits: 2 | 4 | 8;
  readonly blockSize: number;
  readonly zeroPoints?: "none" | "packed" | "float";
  /** Scales (and zero points) in one dimension, as older exporters write them. */
  readonly flat?: boolean;
  readonly accuracyLevel?: number;
  /** Bias as an input of the operator; otherwise an Add. */
  readonly bias?: boolean;
}

/** Every MatMul and Gemm as `MatMulNBits`: B `[outputs, blocks, bytes]`, the last block filled up with zeros. */
export function matMulNBits(graph: Graph, options: BlockOptions): Graph {
  const to = new Rewriter(graph);
  for (const layer of layersOf(to.graph)) {
    if (layer.isConv) continue;
    const { node, bias } = layer;
    const data = node.inputs[0]!;
    const biasValue =
      bias && to.constant(`${node.name}/bias_float`, "float32", [bias.shape.at(-1)!], readNumbers(bias));
    const own = biasValue !== undefined && (options.bias ?? false);
    const { inputs, attributes } = packedOperands(to, layer, options);
    const all = own
      ? [data, ...inputs, ...Array.from({ length: 4 - inputs.length }, () => undefined), biasValue]
      : [data, ...inputs];
    const y = to.op("MatMulNBits", all, attributes, node.name, "com.microsoft");
    to.replace(node, biasValue && !own ? to.op("Add", [y, biasValue]) : y);
  }
  return to.graph;
}

function packedOperands(
  to: Rewriter,
  layer: Layer,
  { bits, blockSize, zeroPoints = "none", flat = true, accuracyLevel = 0 }: BlockOptions,
): { inputs: Value[]; attributes: Record<string, Attribute> } {
  const { name } = layer.node;
  const rows = transposeTensor(asMatrix(layer));
  const [outputs, depth] = [rows.shape[0]!, rows.shape[1]!];
  const blocks = Math.ceil(depth / blockSize);
  const padded = new Float64Array(outputs * blocks * blockSize);
  readNumbers(rows).forEach((number, i) => {
    padded[Math.floor(i / depth) * blocks * blockSize + (i % depth)] = number;
  });
  const middle = 2 ** (bits - 1);
  const found = quantizeRuns(
    padded,
    outputs * blocks,
    (i) => Math.floor(i / blockSize),
    [0, 2 ** bits - 1],
    zeroPoints === "none",
  );
  const perRow = (codes: readonly number[], width: number): number[] =>
    packedRows(codes, outputs, width, bits);
  const bytes = (blockSize * bits) / 8;
  const zeroBytes = Math.ceil((blocks * bits) / 8);
  const shapeOf = (width: number): number[] => (flat ? [outputs * width] : [outputs, width]);
  const inputs = [
    to.constant(`${name}/packed`, "uint8", [outputs, blocks, bytes], perRow(found.codes, blocks * blockSize)),
    to.constant(`${name}/scales`, "float32", shapeOf(blocks), found.scales),
  ];
  if (zeroPoints === "packed")
    inputs.push(
      to.constant(`${name}/zero_points`, "uint8", shapeOf(zeroBytes), perRow(found.zeroPoints, blocks)),
    );
  if (zeroPoints === "float")
    inputs.push(
      to.constant(
        `${name}/zero_points`,
        "float32",
        shapeOf(blocks),
        found.zeroPoints.map((zero) => zero + 1 / middle),
      ),
    );
  const attributes = { K: int(depth), N: int(outputs), bits: int(bits), block_size: int(blockSize) };
  return {
    inputs,
    attributes: accuracyLevel > 0 ? { ...attributes, accuracy_level: int(accuracyLevel) } : attributes,
  };
}

/** Codes of `rows` rows, the first in the low bits, each row padded to whole bytes. */
function packedRows(codes: readonly number[], rows: number, width: number, bits: number): number[] {
  const bytes = Math.ceil((width * bits) / 8);
  const packed = Array.from({ length: rows * bytes }, () => 0);
  codes.forEach((code, i) => {
    const at = (i % width) * bits;
    packed[Math.floor(i / width) * bytes + Math.floor(at / 8)]! += code * 2 ** (at % 8);
  });
  return packed;
}

/** Every MatMul and Gemm as `MatMulBnb4`: random NF4 or FP4 codes in flat bytes, a scale a block. */
export function matMulBnb4(
  graph: Graph,
  blockSize: number,
  quantType: 0 | 1,
  levels: readonly number[],
): Graph {
  const to = new Rewriter(graph);
  for (const layer of layersOf(to.graph)) {
    if (layer.isConv) continue;
    const { node, bias } = layer;
    const data = node.inputs[0]!;
    const rows = transposeTensor(asMatrix(layer));
    const numbers = readNumbers(rows);
    const [outputs, depth] = [rows.shape[0]!, rows.shape[1]!];
    const largest = Array.from({ length: Math.ceil(numbers.length / blockSize) }, () => 0);
    numbers.forEach((number, i) => {
      const block = Math.floor(i / blockSize);
      largest[block] = Math.max(largest[block]!, Math.abs(number));
    });
    const bytes = Array.from({ length: Math.ceil(numbers.length / 2) }, () => 0);
    numbers.forEach((number, i) => {
      const level = number / (largest[Math.floor(i / blockSize)]! || 1);
      const code = levels.reduce(
        (best, each, c) => (Math.abs(each - level) < Math.abs(levels[best]! - level) ? c : best),
        0,
      );
      bytes[Math.floor(i / 2)]! += i % 2 === 0 ? code * 16 : code;
    });
    const inputs = [
      data,
      to.constant(`${node.name}/packed`, "uint8", [bytes.length], bytes),
      to.constant(`${node.name}/absmax`, "float32", [largest.length], largest),
    ];
    const attributes = {
      K: int(depth),
      N: int(outputs),
      block_size: int(blockSize),
      quant_type: int(quantType),
    };
    const y = to.op("MatMulBnb4", inputs, attributes, node.name, "com.microsoft");
    to.replace(
      node,
      bias
        ? to.op("Add", [y, to.constant(`${node.name}/bias_float`, "float32", [outputs], readNumbers(bias))])
        : y,
    );
  }
  return to.graph;
}

/** Weights and arithmetic in 16-bit floats, with a Cast at each input and output. */
export function halfPrecision(graph: Graph, dtype: "float16" | "bfloat16"): Graph {
  const to = new Rewriter(graph);
  const code = int(dtype === "float16" ? 10 : 16);
  for (const value of to.graph.initializers) {
    if (value.data!.dtype === "float32")
      to.graph.setData(value, tensorOf(dtype, value.data!.shape, readNumbers(value.data!)));
  }
  for (const input of to.graph.requiredInputs) {
    const readers = to.graph.uses(input).slice();
    const cast = to.op("Cast", [input], { to: code });
    for (const { node, index } of readers) if (node) to.graph.setInput(node, index, cast);
  }
  for (const output of to.graph.outputs.slice()) {
    const { name } = output;
    const cast = to.graph.addValue(to.graph.freshName(`${name}_float`));
    to.graph.replaceUses(output, cast);
    to.graph.addNode({ op: "Cast", inputs: [output], outputs: [cast], attributes: { to: int(1) } });
    to.graph.rename(output, `${name}_half`);
    to.graph.rename(cast, name);
  }
  return to.graph;
}
