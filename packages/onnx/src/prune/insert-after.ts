import type { Coupling } from "../coupling/analyse.ts";
import type { Value } from "../graph/graph.ts";
import { freshNodeName } from "./fresh-node-name.ts";

/** An operator of two operands that is put after a value. */
interface Insertion {
  readonly op: "Add" | "Mul";
  /** Of the new node. */
  readonly name: string;
  /** What the value is called before it: `y_unbiased` for "unbiased". */
  readonly before: string;
}

/**
 * `y` becomes `op(y, operand)` for whoever reads it. The name `y` goes to the result, which may be an output of the model; it has
 * the axes of `y`.
 */
export function insertAfter(
  { graph, axesOf, assign }: Coupling,
  value: Value,
  { op, name, before }: Insertion,
  operand: Value,
): void {
  const { name: own } = value;
  const axes = axesOf(value);
  const result = graph.addValue(graph.freshName(`${own}_result`), value.type);
  graph.replaceUses(value, result);
  graph.addNode({ op, name: freshNodeName(graph, name), inputs: [value, operand], outputs: [result] });
  graph.rename(value, graph.freshName(`${own}_${before}`));
  graph.rename(result, own);
  if (axes) assign(result, axes);
}
