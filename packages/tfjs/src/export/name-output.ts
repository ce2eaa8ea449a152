import type { Graph, Value, ValueType } from "@dgate/onnx";

/**
 * Gives a graph output its name and type. A value that is a graph input, or an output already, is copied by Identity:
 * it has a name of its own.
 */
export function nameOutput(graph: Graph, value: Value, name: string, type: ValueType): Value {
  const free = graph.freshName(name);
  const isOutput = graph.uses(value).some((use) => use.node === undefined);
  if (!graph.producer(value) || isOutput) {
    const copy = graph.addValue(free, type);
    graph.addNode({ name: `${free}/identity`, op: "Identity", inputs: [value], outputs: [copy] });
    return copy;
  }
  graph.rename(value, free);
  value.type = type;
  return value;
}
