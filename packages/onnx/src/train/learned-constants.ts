import type { Graph, Value } from "../graph/graph.ts";
import { fixedData } from "../graph/fixed-data.ts";
import { isDifferentiable } from "../autodiff/path.ts";
import type { Tensor } from "../graph/tensor.ts";
import { elementCount } from "../io/element-types.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { circularTables } from "./circular-tables.ts";

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
  Softmax: [0],
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
  const candidates = graph.initializers.filter((value) => {
    const data = fixedData(graph, value);
    if (!data || !isDifferentiable(data.dtype) || elementCount(data.shape) < 2 || angles.has(value))
      return false;
    if (isMask(data)) return false;
    return isLearned(graph, value);
  });
  const tables = circularTables(candidates);
  return candidates.filter((value) => !tables.has(value));
}

function isLearned(graph: Graph, value: Value): boolean {
  return graph.uses(value).some(({ node, index }) => {
    if (!node || node.domain !== "") return false;
    if (carrying.has(node.op)) return node.outputs[0] !== undefined && isLearned(graph, node.outputs[0]);
    return learned[node.op]?.includes(index) === true;
  });
}

/** Zeros beside one other number: ones in a matrix, or what is too low for any softmax. */
function isMask(data: Tensor): boolean {
  const numbers = readNumbers(data);
  const other = numbers.find((x) => x !== 0);
  if (other === undefined || !numbers.every((x) => x === 0 || x === other)) return false;
  const both = numbers.includes(0);
  return other <= lowScore || (both && other === 1 && data.shape.length > 1);
}

/** Swin adds it to the scores of positions that must not see each other; others add less. */
const lowScore = -100;

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
