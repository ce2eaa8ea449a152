import type { Coupling } from "../coupling/analyse.ts";
import type { Space } from "../coupling/space.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { isBlockwise, parameterInputs } from "../ops/quantized-forms.ts";
import { quantizedLayer, readersOf } from "../quantization/quantized-layer.ts";
import type { CoupledRole } from "./site.ts";

/**
 * What a constant of a quantized model does with the channels of a leaf of its axis; `undefined` for one that is used as in a
 * float model. Scales and zero points are `statistics`: they follow a cut, and are never zeroed.
 */
export function quantizedRole(
  { graph, axesOf }: Coupling,
  value: Value,
  axis: number,
  leaf: Space,
): CoupledRole | undefined {
  const use = graph.uses(value)[0];
  if (!use?.node || use.index < 0) return undefined;
  if (parameterInputs(use.node).includes(use.index) || isLaterScale(graph, use.node)) return "statistics";
  for (const { node, index } of readersOf(graph, value)) {
    const layer = quantizedLayer(graph, node);
    if (layer?.weight === value) {
      const output = node.outputs[0];
      const flat = isBlockwise(node, "MatMulBnb4") && output && axesOf(output)?.at(-1)?.leaves();
      const produces = flat ? flat.includes(leaf) : axis === layer.outputAxis;
      return produces ? "producer" : "consumer";
    }
    const table = isBlockwise(node, "GatherBlockQuantized") || (node.op === "Gather" && node !== use.node);
    if (table && index === 0) return "producer";
  }
  return undefined;
}

/** `Mul(scale of dynamically quantized data, scale of a weight)`. */
export function isLaterScale(graph: Graph, { op, inputs }: Node): boolean {
  if (op !== "Mul") return false;
  return inputs.some((input) => {
    const node = input && graph.producer(input);
    return node?.op === "DynamicQuantizeLinear" && node.outputs[1] === input;
  });
}
