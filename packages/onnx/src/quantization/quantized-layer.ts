import type { Graph, Node, Value } from "../graph/graph.ts";
import { intAttribute, intsAttribute } from "../ops/attributes.ts";
import { isBlockwise, isDequantizeLinear, isQuantizeLinear, quantizedForm } from "../ops/quantized-forms.ts";
import { fixedData } from "../graph/fixed-data.ts";

/** The quantized constant that a layer multiplies its data with. */
export interface QuantizedLayer {
  readonly weight: Value;
  /** The float operator that the layer is: `MatMul`, `Gemm`, `Conv` or `ConvTranspose`. */
  readonly op: string;
  /** The weight's axis with the layer's output channels. */
  readonly outputAxis: number;
  /** Its axis with the input channels; absent where they are packed in blocks. */
  readonly inputAxis: number | undefined;
}

/** The weight of a layer in a quantized form; `undefined` for float layers and for nodes that are no layers. */
export function quantizedLayer(graph: Graph, node: Node): QuantizedLayer | undefined {
  if (isBlockwise(node, "MatMulNBits") || isBlockwise(node, "MatMulBnb4")) return packedLayer(graph, node);
  const form = quantizedForm(node);
  const operand = node.inputs[form?.operands[1]?.value ?? 1];
  if (!operand || (!form && (node.domain !== "" || fixedData(graph, operand)))) return undefined;
  const found = constantBehind(graph, operand);
  const axes = found && weightAxes(form?.op ?? node.op, node, found.perm.length);
  if (!axes) return undefined;
  return {
    weight: found.value,
    op: form?.op ?? node.op,
    outputAxis: found.perm[axes.output]!,
    inputAxis: found.perm[axes.input],
  };
}

function packedLayer(graph: Graph, { inputs }: Node): QuantizedLayer | undefined {
  const weight = inputs[1];
  if (!weight || !fixedData(graph, weight)) return undefined;
  return { weight, op: "MatMul", outputAxis: 0, inputAxis: undefined };
}

/** Output and input channel axes of a weight of this rank. */
function weightAxes(op: string, node: Node, rank: number): { output: number; input: number } | undefined {
  switch (op) {
    case "Gemm":
      return intAttribute(node, "transB", 0) ? { output: 0, input: 1 } : { output: 1, input: 0 };
    case "MatMul":
      return rank >= 2 ? { output: rank - 1, input: rank - 2 } : undefined;
    case "Conv":
      return { output: 0, input: 1 };
    case "ConvTranspose":
      return { output: 1, input: 0 };
    default:
      return undefined;
  }
}

/**
 * The constant that a value is, or is dequantized from (and transposed then, if need be): axis i of the value is axis
 * `perm[i]` of the constant.
 */
export function constantBehind(
  graph: Graph,
  value: Value,
): { readonly value: Value; readonly perm: readonly number[] } | undefined {
  const orders: (readonly number[] | undefined)[] = [];
  let at = value;
  for (let data = fixedData(graph, at); !data; data = fixedData(graph, at)) {
    const producer = graph.producer(at);
    const source = producer?.inputs[0];
    if (!producer || !source) return undefined;
    if (!isDequantizeLinear(producer) && !isQuantizeLinear(producer)) {
      if (producer.op !== "Transpose" || producer.domain !== "" || fixedData(graph, source)) return undefined;
      orders.push(intsAttribute(producer, "perm"));
    }
    at = source;
  }
  const perm = orders.reduceRight<readonly number[]>(
    (inner, order) => order?.map((axis) => inner[axis]!) ?? inner.toReversed(),
    fixedData(graph, at)!.shape.map((_, axis) => axis),
  );
  return { value: at, perm };
}

/** The nodes that read a constant, through what dequantizes and transposes it. */
export function readersOf(graph: Graph, constant: Value): { readonly node: Node; readonly index: number }[] {
  return graph.uses(constant).flatMap(({ node, index }) => {
    if (!node || index < 0) return [];
    const passes = isDequantizeLinear(node) || isQuantizeLinear(node) || node.op === "Transpose";
    if (!passes || index !== 0) return [{ node, index }];
    return node.outputs[0] ? readersOf(graph, node.outputs[0]) : [];
  });
}
