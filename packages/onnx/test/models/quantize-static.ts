import { randomGenerator } from "@dgate/core";
import {
  type Attribute,
  type Graph,
  int,
  type Node,
  numbersOf,
  openRunner,
  randomInputs,
  readNumbers,
  type Value,
  writeModel,
} from "@dgate/onnx";
import { affine, codeRanges } from "./quantize-numbers.ts";
import { dequantizedWeight, type Layer, layersOf, Rewriter, type WeightOptions } from "./quantize.ts";

/** Lowest and highest number of each float value, by name. */
export type Ranges = ReadonlyMap<string, readonly [low: number, high: number]>;

/** Runs a float model on random inputs and records the range of every value. */
export async function calibrate(graph: Graph, runs = 4): Promise<Ranges> {
  const probe = graph.clone();
  const outputs = new Set(probe.outputs);
  for (const node of probe.nodes()) {
    for (const value of node.outputs) if (value && !outputs.has(value)) probe.addOutput(value);
  }
  const runner = await openRunner(writeModel(probe));
  const ranges = new Map<string, readonly [number, number]>();
  const random = randomGenerator(7);
  for (let run = 0; run < runs; run++) {
    const inputs = randomInputs(graph, random, {}, 3);
    const results = await runner.run(inputs);
    const all = [...Object.entries(results), ...Object.entries(inputs)] as const;
    for (const [name, tensor] of all) {
      const numbers = Array.from("bytes" in tensor ? readNumbers(tensor) : numbersOf(tensor));
      const [low, high] = ranges.get(name) ?? [0, 0];
      ranges.set(name, [Math.min(low, ...numbers), Math.max(high, ...numbers)]);
    }
  }
  await runner.dispose();
  return ranges;
}

/** A quantized value: its codes, and the constants that say what they mean. */
interface Codes {
  readonly codes: Value;
  readonly scale: Value;
  readonly zeroPoint: Value;
}

/** Rewrites a float graph whose values have known ranges. */
class StaticRewriter extends Rewriter {
  readonly #ranges: Ranges;
  readonly #codes = new Map<Value, Codes>();

  constructor(graph: Graph, ranges: Ranges) {
    super(graph);
    this.#ranges = ranges;
  }

  /** Scale and zero point for the uint8 codes of a float value. Inputs that were not seen reach further than those that were. */
  parameters({ name, data }: Value): Omit<Codes, "codes"> {
    const seen = this.#ranges.get(name)?.map((bound) => 1.5 * bound) ?? Array.from(readNumbers(data!));
    const { scale, zeroPoint } = affine(Math.min(...seen), Math.max(...seen), codeRanges.uint8);
    return {
      scale: this.scalar(`${name}/scale`, "float32", scale),
      zeroPoint: this.scalar(`${name}/zero_point`, "uint8", zeroPoint),
    };
  }

  /** The codes of a value, by a QuantizeLinear where it is a float. */
  codesOf(value: Value): Codes {
    const known = this.#codes.get(value);
    if (known) return known;
    const { scale, zeroPoint } = this.parameters(value);
    const found = { codes: this.op("QuantizeLinear", [value, scale, zeroPoint]), scale, zeroPoint };
    this.#codes.set(value, found);
    return found;
  }

  /** Lets `codes` stand for what `node` wrote; whoever needs floats reads them dequantized. */
  replaceByCodes(node: Node, codes: Codes): void {
    const real = this.op("DequantizeLinear", [codes.codes, codes.scale, codes.zeroPoint]);
    this.replace(node, real);
    this.#codes.set(real, codes);
  }
}

export interface QdqOptions extends WeightOptions {
  /** Biases as int32 at the scale data × weight, behind DequantizeLinear (needs weights per tensor or per channel). */
  readonly biases?: boolean;
}

/** QuantizeLinear → DequantizeLinear around the data of every layer and on what it writes, DequantizeLinear on its weights. */
export function qdq(graph: Graph, ranges: Ranges, options: QdqOptions): Graph {
  const to = new StaticRewriter(graph, ranges);
  for (const layer of layersOf(to.graph)) {
    const { node, bias } = layer;
    const data = node.inputs[0]!;
    const before = node.inputs.slice(1);
    const { codes, scale, zeroPoint } = to.codesOf(data);
    const weight = dequantizedWeight(to, layer, options);
    to.graph.setInput(node, 0, to.op("DequantizeLinear", [codes, scale, zeroPoint]));
    to.graph.setInput(node, 1, weight);
    if (bias && options.biases) {
      const scales = to.graph.producer(weight)!.inputs[1]!.data!;
      to.graph.setInput(
        node,
        2,
        dequantizedBias(to, layer, readNumbers(scale.data!)[0]!, readNumbers(scales)),
      );
    }
    for (const value of before)
      if (value?.data && to.graph.uses(value).length === 0) to.graph.removeInitializer(value);
  }
  return to.graph;
}

function biasNumbers({ bias }: Layer, dataScale: number, scales: ArrayLike<number>) {
  const numbers = readNumbers(bias!);
  const steps = Array.from(numbers, (_, i) => Math.fround(dataScale * scales[scales.length === 1 ? 0 : i]!));
  return { steps, codes: Array.from(numbers, (number, i) => Math.round(number / steps[i]!)) };
}

function dequantizedBias(to: Rewriter, layer: Layer, dataScale: number, scales: ArrayLike<number>): Value {
  const { steps, codes } = biasNumbers(layer, dataScale, scales);
  const { name } = layer.node;
  const shape = [codes.length];
  const inputs = [
    to.constant(`${name}/bias_quantized`, "int32", shape, codes),
    scales.length === 1
      ? to.scalar(`${name}/bias_scale`, "float32", steps[0]!)
      : to.constant(`${name}/bias_scale`, "float32", shape, steps),
  ];
  return to.op("DequantizeLinear", inputs, scales.length === 1 ? {} : { axis: int(0) });
}

/** Operators that work on codes as they are. */
const moving = new Set(["Flatten", "Reshape", "Transpose", "MaxPool", "Identity"]);
const binary: Readonly<Record<string, string>> = { Add: "QLinearAdd", Mul: "QLinearMul" };
const unary: Readonly<Record<string, string>> = {
  Sigmoid: "QLinearSigmoid",
  LeakyRelu: "QLinearLeakyRelu",
  GlobalAveragePool: "QLinearGlobalAveragePool",
  AveragePool: "QLinearAveragePool",
  Softmax: "QLinearSoftmax",
};

/** The whole model on codes, in the QLinear operators; what has none is computed in floats. */
export function qlinear(graph: Graph, ranges: Ranges, options: WeightOptions): Graph {
  const to = new StaticRewriter(graph, ranges);
  const layers = new Map(layersOf(to.graph).map((layer) => [layer.node, layer]));
  for (const node of to.graph.sorted()) {
    const layer = layers.get(node);
    const output = node.outputs[0]!;
    const attributes = Object.fromEntries(node.attributes);
    if (layer) to.replaceByCodes(node, qlinearLayer(to, layer, options));
    else if (moving.has(node.op)) {
      const from = to.codesOf(node.inputs[0]!);
      const codes = to.op(node.op, [from.codes, ...node.inputs.slice(1)], attributes, node.name);
      to.replaceByCodes(node, { ...from, codes });
    } else if (node.op === "Concat" || binary[node.op] || unary[node.op]) {
      const y = to.parameters(output);
      const parts = node.inputs.flatMap((value) => partsOf(to.codesOf(value!)));
      const ends = [y.scale, y.zeroPoint];
      const inputs = node.op === "Concat" ? [...ends, ...parts] : [...parts, ...ends];
      const op = binary[node.op] ?? unary[node.op] ?? "QLinearConcat";
      const more: Record<string, Attribute> = node.op === "Softmax" ? { opset: int(13) } : {};
      to.replaceByCodes(node, {
        ...y,
        codes: to.op(op, inputs, { ...attributes, ...more }, node.name, "com.microsoft"),
      });
    } else if (node.op === "MatMul") {
      const y = to.parameters(output);
      const parts = node.inputs.flatMap((value) => partsOf(to.codesOf(value!)));
      to.replaceByCodes(node, {
        ...y,
        codes: to.op("QLinearMatMul", [...parts, y.scale, y.zeroPoint], {}, node.name),
      });
    }
  }
  return to.graph;
}

const partsOf = ({ codes, scale, zeroPoint }: Codes): Value[] => [codes, scale, zeroPoint];

function qlinearLayer(to: StaticRewriter, layer: Layer, options: WeightOptions): Codes {
  const { node } = layer;
  const x = to.codesOf(node.inputs[0]!);
  const y = to.parameters(node.outputs[0]!);
  const dequantize = to.graph.producer(dequantizedWeight(to, layer, options))!;
  const weight = dequantize.inputs.slice(0, 3);
  const scales = readNumbers(weight[1]!.data!);
  const codes = layer.bias && biasNumbers(layer, readNumbers(x.scale.data!)[0]!, scales).codes;
  const bias = codes && to.constant(`${node.name}/bias_quantized`, "int32", [codes.length], codes);
  to.graph.remove(dequantize);
  const inputs = [...partsOf(x), ...weight];
  const ends = [y.scale, y.zeroPoint];
  const attributes = Object.fromEntries(node.attributes);
  if (node.op === "Conv")
    return { ...y, codes: to.op("QLinearConv", [...inputs, ...ends, bias], attributes, node.name) };
  if (node.op === "Gemm")
    return {
      ...y,
      codes: to.op("QGemm", [...inputs, bias, ...ends], attributes, node.name, "com.microsoft"),
    };
  return { ...y, codes: to.op("QLinearMatMul", [...inputs, ...ends], {}, node.name) };
}
