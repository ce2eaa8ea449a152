import type { Coupling } from "../coupling/analyse.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { NodeView } from "../infer/view.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { viewNumbers } from "../io/view-numbers.ts";
import { inputOrder, isDequantizeLinear, quantizedForm, type QuantizedForm } from "../ops/quantized-forms.ts";
import { dequantize } from "../quantization/quantization.ts";
import { operandQuantization, quantizationOf } from "../quantization/quantization-of.ts";
import { fixedData } from "../graph/fixed-data.ts";
import { isRearranging, rearranged } from "../normal-form/normalise.ts";
import { realSlices } from "./real-slices.ts";

/**
 * For each index of an axis, the one number that fills the whole slice at that index whatever the model is fed; NaN where
 * the slice varies or is not one number.
 */
export type SliceConstants = Float64Array;

/** What holds the constants of a graph; see `sliceConstants`. */
export interface SliceSource {
  readonly coupling: Coupling;
  readonly of: (value: Value, axis: number) => SliceConstants | undefined;
  /** What a node makes of the slices that `source` knows of its inputs. */
  readonly through: (
    node: Node,
    axis: number,
    source: SliceSource,
    output?: number,
  ) => SliceConstants | undefined;
}

/**
 * A node as the rules for constants see it. A quantized node is seen as the float operator that it stands for: its inputs in
 * that operator's order, all numbers real ones.
 */
export class SliceContext {
  readonly view: NodeView;
  /** The node itself, where `node` is the float operator. */
  readonly original: Node;
  readonly source: SliceSource;
  readonly #form: QuantizedForm | undefined;

  constructor(node: Node, source: SliceSource) {
    const { graph, inference } = source.coupling;
    const view = new NodeView(graph, node, inference);
    this.#form = quantizedForm(node);
    this.view = this.#form ? view.as(this.#form.op, inputOrder(this.#form)) : view;
    this.original = node;
    this.source = source;
  }

  get node(): Node {
    return this.view.node;
  }

  /** The float operator that the node stands for. */
  get form(): QuantizedForm | undefined {
    return this.#form;
  }

  /** Size of an axis of input `index`, if it is a number. */
  size(index: number, axis: number): number | undefined {
    const dim = this.view.shape(index)?.[axis];
    return typeof dim === "number" ? dim : undefined;
  }

  outputSize(axis: number): number | undefined {
    const dim = this.view.outputShape()?.[axis];
    return typeof dim === "number" ? dim : undefined;
  }

  /** The slices of input `index` along an axis. */
  slices(index: number, axis: number): SliceConstants | undefined {
    const operand = this.#form?.operands[index];
    if (operand?.zeroPoint !== undefined) return realSlices(this.original, operand, axis, this.source);
    const value = this.node.inputs[index];
    return value && this.source.of(value, axis);
  }

  /** The slices of what the node itself calls input `index`. */
  slicesOf(index: number, axis: number): SliceConstants | undefined {
    return this.slices(this.#form ? inputOrder(this.#form).indexOf(index) : index, axis);
  }

  /** A fixed input's elements, through the rearrangements on the way; a quantized weight's real numbers. */
  numbers(index: number): ArrayLike<number> | undefined {
    const { coupling } = this.source;
    const value = this.node.inputs[index];
    const data = value && fixedTensor(coupling, value);
    if (!data || !isNumeric(data)) return undefined;
    if (this.#form?.operands[index]?.zeroPoint === undefined) return viewNumbers(data);
    const place = this.#form.operands[index].value;
    const quantization = operandQuantization(coupling.graph, this.original, place);
    return quantization && dequantize(data, quantization);
  }

  /** The single number that fills a fixed input. */
  uniform(index: number): number | undefined {
    const numbers = this.numbers(index);
    if (!numbers || numbers.length === 0) return undefined;
    for (let i = 1; i < numbers.length; i++) if (numbers[i] !== numbers[0]) return undefined;
    return numbers[0];
  }
}

/** The content of a value that is a constant, a rearranged one (tied weights are used through a Transpose) or a dequantized one. */
function fixedTensor(coupling: Coupling, value: Value): Tensor | undefined {
  const { graph, inference } = coupling;
  const data = fixedData(graph, value);
  if (data) return data;
  const producer = graph.producer(value);
  const source = producer?.inputs[0];
  if (!producer || !source) return undefined;
  if (isDequantizeLinear(producer)) return dequantizedTensor(graph, source);
  const inner = isRearranging(producer) ? fixedTensor(coupling, source) : undefined;
  return inner && rearranged(producer, inner, inference.types.get(value)?.shape);
}

function dequantizedTensor(graph: Graph, source: Value): Tensor | undefined {
  const data = fixedData(graph, source);
  const quantization = data && quantizationOf(graph, source);
  return quantization && tensorOf("float32", data.shape, dequantize(data, quantization));
}

export function isNumeric({ dtype }: Tensor): boolean {
  return dtype !== "string" && dtype !== "complex64" && dtype !== "complex128";
}
