import { elseBranchOf } from "../ops/flat.ts";
import { flattenBranches } from "../normal-form/branches.ts";
import { type LayerCost, type ModelCost, modelCost } from "@dgate/core";
import { nodeName } from "../coupling/analyse.ts";
import type { Dim, Graph, Node, Value } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { sizeOfDim } from "../infer/dims.ts";
import { NodeView } from "../infer/view.ts";
import { byteLengthOf, elementCount } from "../io/element-types.ts";
import { intAttribute } from "../ops/attributes.ts";
import { quantizedCount, quantizedMacs } from "./quantized-costs.ts";
import { applyTo, ruleOf } from "../ops/rule-of.ts";
import { fusedMacRules } from "./fused-costs.ts";
import { einsumMacs } from "./einsum-macs.ts";

/** Cost of one node. */
export interface NodeCost extends LayerCost {
  readonly op: string;
}

/** Cost of a graph, node by node and in all. */
export interface GraphCost extends ModelCost {
  readonly layers: readonly NodeCost[];
  /** Bytes of all constants. */
  readonly bytes: number;
  /** Symbolic dimensions that were counted as 1 because `dims` gives them no size. */
  readonly assumed: readonly string[];
}

/** Multiply–adds of a node, given sizes for its dimensions. */
export type MacRule = (view: NodeView, size: (dim: Dim) => number) => number;

const count = (shape: readonly Dim[] | undefined, size: (dim: Dim) => number): number => {
  return shape ? shape.reduce<number>((total, dim) => total * size(dim), 1) : 0;
};

/** Each output element of Gemm and MatMul is one dot product of length K. */
const gemm: MacRule = (view, size) => {
  const depth = view.shape(0)?.[intAttribute(view.node, "transA", 0) ? 0 : 1];
  return count(view.outputShape(), size) * size(depth);
};

const matmul: MacRule = (view, size) => count(view.outputShape(), size) * size(view.shape(0)?.at(-1));

/** Each output element of Conv is a dot product over the channels of its group and the kernel. */
const conv: MacRule = (view, size) => count(view.outputShape(), size) * count(view.shape(1)?.slice(1), size);

/** Each input element of ConvTranspose is multiplied with the kernels of all outputs of its group. */
const convTranspose: MacRule = (view, size) =>
  count(view.shape(0), size) * count(view.shape(1)?.slice(1), size);

/** Each step of a recurrent layer multiplies its input with W and its state with R, `[directions, gates · hidden, …]`. */
const recurrent: MacRule = (view, size) =>
  count(view.shape(0)?.slice(0, 2), size) * (count(view.shape(1), size) + count(view.shape(2), size));

/** Multiply–adds of the operators that have them in number; element-wise work, pooling and normalisation are not counted. */
const macRules: Readonly<Record<string, MacRule>> = {
  ...fusedMacRules,
  "com.microsoft.FusedGemm": gemm,
  "com.microsoft.FusedConv": conv,
  Gemm: gemm,
  MatMul: matmul,
  Conv: conv,
  ConvTranspose: convTranspose,
  ...quantizedMacs({ Gemm: gemm, MatMul: matmul, Conv: conv }),
  DeformConv: conv,
  Einsum: einsumMacs,
  RNN: recurrent,
  GRU: recurrent,
  LSTM: recurrent,
};

/** Multiply–adds of a node; 0 for an operator without a row. */
export function nodeMacs(view: NodeView, size: (dim: Dim) => number): number {
  return applyTo(view.node, () => ruleOf(macRules, view.node)?.(view, size) ?? 0);
}

/** Whether an operator has a row that counts multiply–adds. */
export function hasMacs(node: Node): boolean {
  return ruleOf(macRules, node) !== undefined;
}

/**
 * Parameters, multiply–adds and bytes of a model. Of an If the multiply–adds of its first branch count: in a merged decoder both
 * branches do the same work.
 *
 * @param dims sizes of symbolic dimensions, by name; a dimension without size counts as 1 (so `batch` need not be given)
 */
export function countCosts(model: Graph, dims: Readonly<Record<string, number>> = {}): GraphCost {
  const graph = flat(model);
  const passedOver = elseBranchOf(graph);
  const inference = inferShapes(graph, { dims });
  const assumed = new Set<string>();
  const size = (dim: Dim): number =>
    sizeOfDim(dim, (name) => {
      assumed.add(name);
      return 1;
    }) ?? 1;
  const counted = new Set<Value>();
  const layers = graph.nodes().map((node): NodeCost => {
    let parameters = 0;
    for (const [index, value] of node.inputs.entries()) {
      if (!value?.data || counted.has(value)) continue;
      const own = parametersOf(graph, node, index, value.data);
      if (own === 0) continue;
      counted.add(value);
      parameters += own;
    }
    const macs = passedOver(node) ? 0 : nodeMacs(new NodeView(graph, node, inference), size);
    return { layer: nodeName(node), op: node.op, parameters, macs };
  });
  const bytes = graph.initializers.reduce(
    (total, { data }) => total + byteLengthOf(data!.dtype, data!.shape),
    0,
  );
  return { ...modelCost(layers), layers, bytes, assumed: [...assumed] };
}

function flat(graph: Graph): Graph {
  if (graph.nodes("If").length === 0) return graph;
  const copy = graph.clone();
  flattenBranches(copy);
  return copy;
}

/** Parameters in a constant input of a node, given its type and shape. */
export function parametersOf(
  graph: Graph,
  node: Node,
  index: number,
  data: Pick<Tensor, "dtype" | "shape">,
): number {
  return quantizedCount(graph, node, index, data) ?? (isWeight(data) ? elementCount(data.shape) : 0);
}

/** Integers of 32 and 64 bits are shapes and indices, not weights; single numbers are no parameters either. */
export function isWeight({ dtype, shape }: Pick<Tensor, "dtype" | "shape">): boolean {
  const shapes = dtype === "int64" || dtype === "int32" || dtype === "bool" || dtype === "string";
  return !shapes && shape.length > 0;
}
