import type { Graph, Node, Value, ValueType } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { fixedData } from "../graph/fixed-data.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { elementCount } from "../io/element-types.ts";
import { tensorOf, transposeTensor } from "../io/tensor-data.ts";
import { intsAttribute } from "../ops/attributes.ts";
import { flattenBranches, restoreBranches } from "./branches.ts";
import { unshareParameters } from "../quantization/unshare-parameters.ts";
import { removeDeadCode } from "../prune/dead-code.ts";
import { foldWeights } from "./fold-weights.ts";
import { dropHeadPicks, separateHeadBiases } from "./head-biases.ts";
import { inlineInPlace } from "./inline-functions.ts";

/**
 * A copy of a graph in the form that analysis and pruning work on: the model's own functions stand in the place of their calls,
 * every `Constant` node is an initializer of the same name, a weight that is only reshaped or transposed before its use, or
 * computed from constants, is stored that way, sizes that do not depend on the run are constants, scales and zero points are
 * not shared, the branches of an If lie in the graph, and layers pick their heads from biases that they share. It computes the
 * same, but for the last bit where a weight was computed or the runtime fuses other nodes. `denormalise` makes a graph that can
 * be written again.
 */
export function normalise(graph: Graph): Graph {
  const copy = graph.clone();
  inlineInPlace(copy);
  flattenBranches(copy);
  liftConstants(copy);
  while (foldStaticShapes(copy) + foldComputedWeights(copy) > 0) continue;
  if (foldSizes(copy) > 0) removeDeadCode(copy);
  separateHeadBiases(copy);
  unshareParameters(copy);
  return copy;
}

/** See `foldWeights`. */
function foldComputedWeights(graph: Graph): number {
  return foldWeights(
    graph,
    (value) => fixedData(graph, value),
    (node, data) => replaceByConstant(graph, node, data),
  );
}

/** Takes back, in place, what `normalise` did for the analysis alone. */
export function denormalise(graph: Graph): void {
  dropHeadPicks(graph);
  removeDeadCode(graph);
  restoreBranches(graph);
  graph.sortNodes();
}

/**
 * Replaces integers that do not depend on the run by constants: what `Shape → Gather → …` says of axes of a known size. A cut
 * of such an axis then leaves other uses of its size alone (a scale 1/√d), and rewrites the sizes that follow from it.
 */
function foldSizes(graph: Graph): number {
  const { types, contents } = inferShapes(graph);
  let edits = 0;
  for (const node of graph.sorted()) {
    const output = only(node.outputs);
    const content = output && contents.get(output);
    const type = output && types.get(output);
    if (!content || !isInteger(type) || !content.every((dim) => Number.isSafeInteger(dim))) continue;
    const shape = type.shape?.every((dim) => typeof dim === "number") ? type.shape : undefined;
    if (!shape || elementCount(shape) !== content.length) continue;
    if (replaceByConstant(graph, node, tensorOf(type.dtype, shape, content as readonly number[]))) edits += 1; // checked above
  }
  return edits;
}

const isInteger = (type: ValueType | undefined): type is ValueType =>
  type?.dtype === "int64" || type?.dtype === "int32";

const only = (values: readonly (Value | undefined)[]): Value | undefined =>
  values.length === 1 ? values[0] : undefined;

/** Turns `Constant` nodes into initializers. */
function liftConstants(graph: Graph): number {
  let edits = 0;
  for (const node of graph.nodes("Constant")) {
    const data = constantTensor(node);
    if (data && replaceByConstant(graph, node, data)) edits += 1;
  }
  return edits;
}

/** Stores a reshaped or transposed weight in its final form, if nothing else uses it. */
function foldStaticShapes(graph: Graph): number {
  const candidates = graph.nodes().filter((node) => {
    const source = node.inputs[0];
    if (node.domain !== "" || !rearranging.has(node.op) || !source) return false;
    return fixedData(graph, source) !== undefined && graph.uses(source).length === 1;
  });
  if (candidates.length === 0) return 0;
  const { types } = inferShapes(graph);
  let edits = 0;
  for (const node of candidates) {
    const source = node.inputs[0]!;
    const data = rearranged(node, source.data!, types.get(node.outputs[0]!)?.shape);
    if (!data || !replaceByConstant(graph, node, data)) continue;
    graph.removeInitializer(source);
    edits += 1;
  }
  return edits;
}

const rearranging = new Set(["Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose"]);

/** Whether a node only moves elements. */
export const isRearranging = ({ domain, op }: Node): boolean => domain === "" && rearranging.has(op);

/** What a node makes of a constant by moving its elements; `undefined` for another operator or an unknown shape. */
export function rearranged(
  node: Node,
  data: Tensor,
  shape: readonly (number | string | undefined)[] | undefined,
): Tensor | undefined {
  if (!rearranging.has(node.op)) return undefined;
  if (node.op === "Identity") return data;
  if (node.op === "Transpose") return transposeTensor(data, intsAttribute(node, "perm"));
  if (!shape?.every((dim) => typeof dim === "number")) return undefined;
  return { ...data, shape };
}

/** Puts an initializer of the same name in the place of a node's only output. */
function replaceByConstant(graph: Graph, node: Node, data: Tensor): boolean {
  const output = node.outputs[0];
  if (!output || graph.uses(output).some((use) => use.node === undefined)) return false;
  const { name } = output;
  const constant: Value = graph.addInitializer(graph.freshName(`${name}_constant`), data);
  graph.replaceUses(output, constant);
  graph.remove(node);
  graph.rename(constant, name);
  return true;
}

function constantTensor({ attributes }: Node): Tensor | undefined {
  const attribute = [...attributes].find(([name]) => name.startsWith("value"))?.[1];
  switch (attribute?.kind) {
    case "tensor": {
      // `extra` may hold the tensor's own name, which would compete with the initializer's.
      const { extra: _, ...data } = attribute.value;
      return data;
    }
    case "float":
      return tensorOf("float32", [], [attribute.value]);
    case "int":
      return tensorOf("int64", [], [attribute.value]);
    case "floats":
      return tensorOf("float32", [attribute.value.length], attribute.value);
    case "ints":
      return tensorOf("int64", [attribute.value.length], attribute.value);
    default:
      return undefined; // texts and sparse constants stay nodes
  }
}
