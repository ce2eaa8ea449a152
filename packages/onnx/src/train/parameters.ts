import type { Graph, Node, Use, Value } from "../graph/graph.ts";
import { fixedData } from "../graph/fixed-data.ts";
import { isDifferentiable } from "../autodiff/path.ts";
import { elementCount } from "../io/element-types.ts";

/** Inputs of each operator at which learned constants stand. */
const learned: Readonly<Record<string, readonly number[]>> = {
  Add: [0, 1],
  BatchNormalization: [1, 2],
  Conv: [1, 2],
  ConvTranspose: [1, 2],
  Einsum: [0, 1, 2],
  Gather: [0],
  Gemm: [0, 1, 2],
  LayerNormalization: [1, 2],
  MatMul: [0, 1],
  Mul: [0, 1],
  PRelu: [1],
};

/** Operators that carry a constant to where it is used. */
const carrying = new Set([
  "Cast",
  "Concat",
  "Expand",
  "Identity",
  "Reshape",
  "Slice",
  "Squeeze",
  "Transpose",
  "Unsqueeze",
]);

/**
 * The constants of a graph in training form that are learned: weights, biases, scales, embeddings. Single numbers, masks, and what only
 * makes rotary positions (angles, tables of sines and cosines) are not.
 */
export function learnedConstants(graph: Graph): Value[] {
  const angles = beforeAngles(graph);
  return graph.initializers.filter((value) => {
    const data = fixedData(graph, value);
    if (!data || !isDifferentiable(data.dtype) || elementCount(data.shape) < 2 || angles.has(value))
      return false;
    return isLearned(graph, value);
  });
}

function isLearned(graph: Graph, value: Value): boolean {
  return graph.uses(value).some(({ node, index }) => {
    if (!node || node.domain !== "") return false;
    if (carrying.has(node.op)) return node.outputs[0] !== undefined && isLearned(graph, node.outputs[0]);
    if (!learned[node.op]?.includes(index)) return false;
    return node.op !== "Gather" || !isPositionTable(graph, node);
  });
}

/** A table whose rows are factors: cosines and sines, which queries and keys are multiplied with. */
function isPositionTable(graph: Graph, gather: Node): boolean {
  const readers = carriedUses(graph, gather.outputs[0]!);
  return (
    readers.length > 0 &&
    readers.every(({ node }) => node?.op === "Mul" && readers.length > 1) &&
    isAngular(gather)
  );
}

/** Whether no element of a table is larger than 1, as of sines and cosines. */
function isAngular({ inputs: [table] }: Node): boolean {
  const { data } = table!;
  if (data?.dtype !== "float32") return false;
  const numbers = new Float32Array(new Uint8Array(data.bytes).buffer);
  return numbers.every((number) => Math.abs(number) <= 1.0001);
}

function carriedUses(graph: Graph, value: Value): Use[] {
  return graph.uses(value).flatMap((use) => {
    const carries = use.node?.domain === "" && carrying.has(use.node.op);
    return carries && use.node!.outputs[0] ? carriedUses(graph, use.node!.outputs[0]) : [use];
  });
}

/** What the arguments of Sin and Cos are computed from. */
function beforeAngles(graph: Graph): ReadonlySet<Value> {
  const found = new Set<Value>();
  const visit = (value: Value | undefined): void => {
    if (!value || found.has(value)) return;
    found.add(value);
    for (const input of graph.producer(value)?.inputs ?? []) visit(input);
  };
  for (const op of ["Sin", "Cos"]) for (const node of graph.nodes(op)) visit(node.inputs[0]);
  return found;
}
