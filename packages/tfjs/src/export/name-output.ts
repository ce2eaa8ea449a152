import type { Graph, Value, ValueType } from "@dgate/onnx";

/**
 * Gives a graph output its name: the node that makes the value is replaced by one that writes `name`. A value that is a
 * graph input, or an output already, is copied by Identity. Returns the named value, typed.
 */
export function nameOutput(graph: Graph, value: Value, name: string, type: ValueType): Value {
  const named = graph.addValue(graph.freshName(name), type);
  const node = graph.producer(value);
  const isOutput = graph.uses(value).some((use) => use.node === undefined);
  if (!node || isOutput) {
    graph.addNode({ name: `${named.name}/identity`, op: "Identity", inputs: [value], outputs: [named] });
    return named;
  }
  const { op, inputs, attributes } = node;
  graph.addNode({ name: node.name, op, inputs, attributes, outputs: [named] });
  graph.replaceUses(value, named);
  graph.remove(node);
  return named;
}
