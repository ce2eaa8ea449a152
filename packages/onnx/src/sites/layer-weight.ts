import type { Graph, Node, Value } from "../graph/graph.ts";
import { intAttribute, intsAttribute } from "../ops/attributes.ts";
import { isBlockwise, isDequantizeLinear, isQuantizeLinear, quantizedForm } from "../ops/quantized-forms.ts";
import { fixedData } from "../prune/normalise.ts";

/** The constant that a layer multiplies its data with, behind what dequantizes it. */
export interface LayerWeight {
  readonly weight: Value;
  /** The float operator: `MatMul`, `Gemm`, `Conv` or `ConvTranspose`. */
  readonly op: string;
  /** The weight's axis with the layer's output channels. */
  readonly outputAxis: number;
  /** Its axis with the input channels (of a group; in whole blocks where they are packed). */
  readonly inputAxis: number | undefined;
}

/** The weight of a node that is a layer; `undefined` for other nodes and for computed weights. */
export function layerWeight(graph: Graph, node: Node): LayerWeight | undefined {
  if (isBlockwise(node, "MatMulNBits")) return packedWeight(graph, node, 1);
  if (isBlockwise(node, "MatMulBnb4")) return packedWeight(graph, node, undefined);
  const form = quantizedForm(node);
  if (!form && node.domain !== "") return undefined;
  const operand = node.inputs[form?.operands[1]?.value ?? 1];
  const found = operand && constantBehind(graph, operand);
  const axes = found && weightAxes(form?.op ?? node.op, node, found.perm.length);
  if (!axes) return undefined;
  const { op, output, input } = axes;
  return { weight: found.value, op, outputAxis: found.perm[output]!, inputAxis: found.perm[input] };
}

function packedWeight(graph: Graph, { inputs }: Node, inputAxis: number | undefined): LayerWeight | undefined {
  const weight = inputs[1];
  if (!weight || !fixedData(graph, weight)) return undefined;
  return { weight, op: "MatMul", outputAxis: 0, inputAxis };
}

/** Output and input channel axes of a weight of this rank. */
function weightAxes(op: string, node: Node, rank: number): { op: string; output: number; input: number } | undefined {
  switch (op) {
    case "Gemm":
      return intAttribute(node, "transB", 0) ? { op, output: 0, input: 1 } : { op, output: 1, input: 0 };
    case "MatMul":
      return rank >= 2 ? { op, output: rank - 1, input: rank - 2 } : undefined;
    case "Conv":
      return { op, output: 0, input: 1 };
    case "ConvTranspose":
      return { op, output: 1, input: 0 };
    default:
      return undefined;
  }
}

/**
 * The constant that a value is, or is dequantized from (through a Transpose, if need be): `perm[i]` is the axis of the constant
 * that axis i of the value is.
 */
export function constantBehind(
  graph: Graph,
  value: Value,
): { readonly value: Value; readonly perm: readonly number[] } | undefined {
  const data = fixedData(graph, value);
  if (data) return { value, perm: data.shape.map((_, axis) => axis) };
  const producer = graph.producer(value);
  const source = producer?.inputs[0];
  if (!producer || !source) return undefined;
  if (isDequantizeLinear(producer) || isQuantizeLinear(producer)) return constantBehind(graph, source);
  const inner =
    producer.op === "Transpose" && producer.domain === "" && !fixedData(graph, source)
      ? constantBehind(graph, source)
      : undefined;
  if (!inner) return undefined;
  const order = intsAttribute(producer, "perm") ?? inner.perm.map((_, i) => inner.perm.length - 1 - i);
  return { value: inner.value, perm: order.map((axis) => inner.perm[axis]!) };
}

/** The nodes whose layer weight, or table, a constant is. */
export function weightReaders(graph: Graph, weight: Value): Node[] {
  return graph.uses(weight).flatMap(({ node, index }) => {
    if (!node || index < 0) return [];
    const passes = isDequantizeLinear(node) || isQuantizeLinear(node) || node.op === "Transpose";
    if (passes) return index === 0 && node.outputs[0] ? weightReaders(graph, node.outputs[0]) : [];
    return [node];
  });
}
