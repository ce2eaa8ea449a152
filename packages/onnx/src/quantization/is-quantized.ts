import type { Graph, Node } from "../graph/graph.ts";
import { intAttribute } from "../ops/attributes.ts";
import { quantizedLayer } from "./quantized-layer.ts";
import { isBlockwise, isQuantizeLinear, quantizedForm } from "../ops/quantized-forms.ts";

/**
 * Whether a model rounds values to integers as it runs. Where it does, a difference in the last place of a sum can become a
 * whole step of the next quantization, so two such models that compute the same need not agree to 1e-4. So do layers whose
 * weights alone are behind a DequantizeLinear: onnxruntime multiplies them with data of 8 bits.
 */
export function isQuantized(graph: Graph): boolean {
  return graph.nodes().some((node) => {
    if (roundsValues(graph, node)) return true;
    return [...node.attributes.values()].some(
      (attribute) => attribute.kind === "graph" && isQuantized(attribute.value),
    );
  });
}

function roundsValues(graph: Graph, node: Node): boolean {
  if (node.op === "DynamicQuantizeLinear" || node.op === "QAttention") return true;
  if (isQuantizeLinear(node)) return node.inputs[0]?.data === undefined;
  // Level 4 computes with 8-bit data.
  if (isBlockwise(node, "MatMulNBits")) return intAttribute(node, "accuracy_level", 0) === 4;
  return (
    quantizedForm(node) !== undefined || (node.domain === "" && quantizedLayer(graph, node) !== undefined)
  );
}
