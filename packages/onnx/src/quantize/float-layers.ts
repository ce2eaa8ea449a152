import { fixedData } from "../graph/fixed-data.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { elementCount } from "../io/element-types.ts";
import { floatAttribute, intAttribute, intsAttribute } from "../ops/attributes.ts";
import { quantizedForm, isBlockwise } from "../ops/quantized-forms.ts";

/** Operators whose weights are quantized. `MatMul` stands for com.microsoft.FusedMatMul too. */
export type QuantizableOperator = "MatMul" | "Gemm" | "Conv" | "Gather";

/** A layer with a float32 weight that no run can change. */
export interface FloatLayer {
  readonly node: Node;
  readonly operator: QuantizableOperator;
  /** The constant, and its content. */
  readonly weight: Value;
  readonly tensor: Tensor;
  /** Whether rows of the constant are outputs; of a MatMul and Gemm. */
  readonly outputsFirst: boolean;
  /** Whether nodes between the constant and the layer turn it. */
  readonly turned: boolean;
  /** The product is multiplied with this (α). */
  readonly factor: number;
  /** A bias is added; `factor` (β) is 1 unless it is a constant. */
  readonly bias: { readonly value: Value; readonly factor: number } | undefined;
}

/** A layer that stays as it is, and why. */
export interface SkippedLayer {
  readonly node: Node;
  readonly reason: string;
}

/** What `findLayers` is to look for. */
export interface LayerChoice {
  readonly operators: ReadonlySet<QuantizableOperator>;
  /** Fewest elements of a weight. */
  readonly minimumElements: number;
  /** Names of nodes and weights to leave. */
  readonly exclude: ReadonlySet<string>;
}

/** Layers of the chosen operators, and those that stay, in the graph's order. */
export function findLayers(
  graph: Graph,
  choice: LayerChoice,
): { readonly layers: readonly FloatLayer[]; readonly skipped: readonly SkippedLayer[] } {
  const layers: FloatLayer[] = [];
  const skipped: SkippedLayer[] = [];
  for (const node of graph.sorted()) {
    const found = layerOf(graph, node, choice);
    if (typeof found === "string") skipped.push({ node, reason: found });
    else if (found) layers.push(found);
  }
  return { layers, skipped };
}

/** The layer that a node is, or why it cannot be quantized; `undefined` for a node without such a weight. */
function layerOf(graph: Graph, node: Node, choice: LayerChoice): FloatLayer | string | undefined {
  const operator = operatorOf(node);
  if (!operator) return otherReason(node, choice);
  if (!choice.operators.has(operator)) return undefined;
  if (operator === "Gather") return tableOf(graph, node, choice);
  const [x, w] = node.inputs;
  const found = w && constantMatrix(graph, w);
  if (!x || !w) return "an operand is missing";
  if (!found) return operandReason(graph, node, x, w);
  const reason = weightReason(found, choice, node) ?? formReason(graph, node, operator);
  if (reason !== undefined) return reason;
  const { value: weight, tensor, turned } = found;
  const isConv = operator === "Conv";
  const transB = !isConv && intAttribute(node, "transB", 0) !== 0;
  const bias = node.inputs[2];
  const beta = operator === "Gemm" ? floatAttribute(node, "beta", 1) : 1;
  return {
    node,
    operator,
    weight,
    tensor,
    turned,
    outputsFirst: transB !== turned,
    factor: isConv ? 1 : floatAttribute(node, "alpha", 1),
    bias: bias && beta !== 0 ? { value: bias, factor: beta } : undefined,
  };
}

function operatorOf({ op, domain }: Node): QuantizableOperator | undefined {
  if (domain === "com.microsoft") return op === "FusedMatMul" ? "MatMul" : undefined;
  if (domain !== "") return undefined;
  return op === "MatMul" || op === "Gemm" || op === "Conv" || op === "Gather" ? op : undefined;
}

/** Operators of onnxruntime that have weights of their own, which stay floats. */
const packing: Readonly<Record<string, QuantizableOperator>> = {
  Attention: "MatMul",
  FusedGemm: "Gemm",
  FusedConv: "Conv",
  EmbedLayerNormalization: "Gather",
};

function otherReason(node: Node, { operators }: LayerChoice): string | undefined {
  const is = quantizedForm(node)?.op ?? (isBlockwise(node, "MatMulNBits") ? "MatMul" : undefined);
  if (is === "MatMul" || is === "Gemm" || is === "Conv")
    return operators.has(is) ? "it is quantized already" : undefined;
  const packed = node.domain === "com.microsoft" ? packing[node.op] : undefined;
  return packed && operators.has(packed)
    ? `com.microsoft.${node.op} holds its weight itself and stays float32`
    : undefined;
}

function operandReason(graph: Graph, node: Node, x: Value, w: Value): string {
  if (w.data) return `"${w.name}" is an input with a default, which callers may feed`;
  if (node.op === "MatMul" && constantMatrix(graph, x)) return "its weight is the left operand";
  return "both operands are computed";
}

function weightReason(
  { value, tensor }: ConstantMatrix,
  { minimumElements, exclude }: LayerChoice,
  { name, op }: Node,
): string | undefined {
  if (exclude.has(name) || exclude.has(value.name)) return "it is excluded";
  if (tensor.dtype !== "float32") return `"${value.name}" is ${tensor.dtype}, not float32`;
  const rank = tensor.shape.length;
  if (op === "Conv" ? rank < 3 : op !== "Gather" && rank !== 2)
    return `"${value.name}" has ${rank} ax${rank === 1 ? "is" : "es"}`;
  const count = elementCount(tensor.shape);
  return count < Math.max(1, minimumElements)
    ? `"${value.name}" has ${count} elements, fewer than ${minimumElements}`
    : undefined;
}

function formReason(graph: Graph, node: Node, operator: QuantizableOperator): string | undefined {
  if (["transA", "transBatchA", "transBatchB"].some((name) => intAttribute(node, name, 0) !== 0))
    return "its data is transposed";
  const bias = node.inputs[2];
  const beta = operator === "Gemm" ? floatAttribute(node, "beta", 1) : 1;
  return bias && beta !== 1 && !fixedData(graph, bias) ? "its bias is computed and scaled" : undefined;
}

/** A table of rows that are looked up. Indices into shapes are no tables, and data that is computed is none either. */
function tableOf(graph: Graph, node: Node, choice: LayerChoice): FloatLayer | string | undefined {
  const table = node.inputs[0];
  const tensor = table && fixedData(graph, table);
  if (!tensor || !/float/.test(tensor.dtype)) return undefined;
  const reason = weightReason({ value: table, tensor, turned: false }, choice, node);
  if (reason !== undefined) return reason;
  const plain = { turned: false, outputsFirst: true, factor: 1, bias: undefined };
  return { node, operator: "Gather", weight: table, tensor, ...plain };
}

interface ConstantMatrix {
  readonly value: Value;
  readonly tensor: Tensor;
  readonly turned: boolean;
}

/** The constant that a value is, through Identity and the Transpose of a matrix. */
function constantMatrix(graph: Graph, start: Value): ConstantMatrix | undefined {
  let turned = false;
  for (let value: Value | undefined = start; value; ) {
    const tensor = fixedData(graph, value);
    if (tensor) return { value, tensor, turned };
    const node = graph.producer(value);
    if (!node || node.domain !== "" || node.outputs.length !== 1) return undefined;
    if (node.op === "Transpose") {
      const perm = intsAttribute(node, "perm");
      if (perm && perm.join() !== "1,0") return undefined;
      turned = !turned;
    } else if (node.op !== "Identity") return undefined;
    value = node.inputs[0];
  }
  return undefined;
}
