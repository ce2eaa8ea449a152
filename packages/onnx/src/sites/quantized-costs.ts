import type { Graph, Node } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { elementCount } from "../io/element-types.ts";
import { intAttribute } from "../ops/attributes.ts";
import {
  inputOrder,
  isBlockwise,
  isDequantizeLinear,
  parameterInputs,
  quantizedForm,
  quantizedOps,
} from "../ops/quantized-forms.ts";
import type { MacRule } from "./count-costs.ts";
import { isLaterScale } from "./quantized-role.ts";

/**
 * Multiply–adds of quantized layers: those of the float operator that each stands for.
 *
 * @param floats the rules of the float operators
 */
export function quantizedMacs(floats: Readonly<Record<string, MacRule>>): Readonly<Record<string, MacRule>> {
  const asFloat: MacRule = (view, size) => {
    const form = quantizedForm(view.node)!; // rows below have one
    return floats[form.op]?.(view.as(form.op, inputOrder(form)), size) ?? 0;
  };
  return {
    ...Object.fromEntries(quantizedOps.map((op) => [op, asFloat])),
    "com.microsoft.MatMulNBits": floats["MatMul"]!,
    "com.microsoft.MatMulBnb4": floats["MatMul"]!,
  };
}

/**
 * Parameters in a constant input of a quantized node: packed weights count as what they hold, scales and zero points not at
 * all, 32-bit biases as biases. `undefined` for any other input.
 *
 * @param data type and shape of the constant
 */
export function quantizedCount(
  graph: Graph,
  node: Node,
  index: number,
  data: Pick<Tensor, "dtype" | "shape">,
): number | undefined {
  if (parameterInputs(node).includes(index) || isLaterScale(graph, node)) return 0;
  if (index === 1 && (isBlockwise(node, "MatMulNBits") || isBlockwise(node, "MatMulBnb4"))) {
    return intAttribute(node, "N", 0) * intAttribute(node, "K", 0);
  }
  if (index === 0 && isBlockwise(node, "GatherBlockQuantized") && data.dtype === "uint8") {
    return (elementCount(data.shape) * 8) / intAttribute(node, "bits", 4);
  }
  const isBias = quantizedForm(node)?.bias === index || (isDequantizeLinear(node) && index === 0);
  return isBias && data.dtype === "int32" ? elementCount(data.shape) : undefined;
}
