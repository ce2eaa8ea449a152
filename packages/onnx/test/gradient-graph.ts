import type { Attribute } from "../src/graph/attribute.ts";
import { describeNode, type Graph, type Node } from "../src/graph/graph.ts";

/**
 * Operators of the standard domain that derivatives may be written with: onnxruntime has a kernel of each for CPU and for WASM, of float32
 * or of the sizes and conditions that it is used on.
 */
export const emittedOps: ReadonlySet<string> = new Set([
  "Abs",
  "Add",
  "And",
  "AveragePool",
  "Cast",
  "Ceil",
  "Clip",
  "Concat",
  "Conv",
  "ConvTranspose",
  "Cos",
  "Cosh",
  "CumSum",
  "DepthToSpace",
  "Div",
  "Einsum",
  "Equal",
  "Erf",
  "Exp",
  "Expand",
  "Floor",
  "Gather",
  "GatherElements",
  "Gemm",
  "Greater",
  "GreaterOrEqual",
  "Identity",
  "LayerNormalization",
  "Less",
  "LessOrEqual",
  "Log",
  "MatMul",
  "Max",
  "MaxPool",
  "Min",
  "Mul",
  "Neg",
  "NonZero",
  "Not",
  "Or",
  "Pad",
  "Pow",
  "Range",
  "Reciprocal",
  "ReduceMax",
  "ReduceMean",
  "ReduceProd",
  "ReduceSum",
  "ReduceSumSquare",
  "Relu",
  "Reshape",
  "ScatterElements",
  "ScatterND",
  "Shape",
  "Sigmoid",
  "Sign",
  "Sin",
  "Sinh",
  "Size",
  "Slice",
  "Softmax",
  "Softplus",
  "Split",
  "Sqrt",
  "Squeeze",
  "Sub",
  "Tanh",
  "Transpose",
  "Trilu",
  "Unsqueeze",
  "Where",
]);

/** What is wrong with a gradient graph: operators that not every runtime has, nodes that nothing needs, and nodes that compute the same. */
export function faultsOf(graph: Graph): string[] {
  const faults: string[] = [];
  const seen = new Map<string, Node>();
  for (const node of graph.nodes()) {
    const isAdded = node.name.startsWith("gradient/") || node.name.endsWith(".gradient");
    if (isAdded && (node.domain !== "" || !emittedOps.has(node.op)))
      faults.push(`${describeNode(node)} is not one of the operators for gradients`);
    if (!isNeeded(graph, node)) faults.push(`${describeNode(node)} is not needed`);
    const key = keyOf(node);
    const twin = key === undefined ? undefined : seen.get(key);
    // Two outputs of the graph have to have a name each.
    if (twin && !(isNamed(graph, twin) && isNamed(graph, node)))
      faults.push(`${describeNode(node)} computes what ${describeNode(twin)} does`);
    if (key !== undefined) seen.set(key, node);
  }
  return faults;
}

const isNeeded = (graph: Graph, { outputs }: Node): boolean =>
  outputs.some((value) => value && graph.uses(value).length > 0);

const isNamed = (graph: Graph, { outputs }: Node): boolean =>
  outputs.some((value) => value && graph.outputs.includes(value));

/** `undefined` for what may give something else each time, and for what is long to compare. */
function keyOf({ op, domain, inputs, attributes }: Node): string | undefined {
  if (/^Random|^Dropout$|^Bernoulli$/.test(op)) return undefined;
  const names = [...attributes.keys()].toSorted();
  const texts = names.map((name) => print(attributes.get(name)!));
  if (texts.includes(undefined)) return undefined;
  return JSON.stringify([domain, op, inputs.map((value) => value?.name), names, texts]);
}

function print(attribute: Attribute): string | undefined {
  if (attribute.kind === "graph" || attribute.kind === "opaque") return undefined;
  if (attribute.kind !== "tensor") return JSON.stringify(attribute.value);
  const { dtype, shape, bytes } = attribute.value;
  return bytes.length > 4096 ? undefined : `${dtype}[${shape.join()}]${bytes.join()}`;
}
