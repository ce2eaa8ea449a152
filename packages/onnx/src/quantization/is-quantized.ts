import type { Graph, Node } from "../graph/graph.ts";
import { intAttribute } from "../ops/attributes.ts";
import { isBlockwise, isQuantizeLinear, quantizedForm } from "../ops/quantized-forms.ts";

/**
 * Whether a model rounds values to integers as it runs. Where it does, a difference in the last place of a sum can become a
 * whole step of the next quantization, so two such models that compute the same need not agree to 1e-4. Weights alone in
 * integers do not count: they are constants.
 */
export function isQuantized(graph: Graph): boolean {
  return graph.nodes().some((node) => {
    if (roundsValues(node)) return true;
    return [...node.attributes.values()].some(
      (attribute) => attribute.kind === "graph" && isQuantized(attribute.value),
    );
  });
}

function roundsValues(node: Node): boolean {
  if (node.op === "DynamicQuantizeLinear" || node.op === "QAttention") return true;
  if (isQuantizeLinear(node)) return node.inputs[0]?.data === undefined;
  // Level 4 computes with 8-bit data.
  if (isBlockwise(node, "MatMulNBits")) return intAttribute(node, "accuracy_level", 0) === 4;
  return quantizedForm(node) !== undefined;
}
