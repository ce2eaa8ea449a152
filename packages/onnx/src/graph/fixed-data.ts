import type { Graph, Value } from "./graph.ts";
import type { Tensor } from "./tensor.ts";

/**
 * The content of a value that no caller can change: from IR 4 on, an initializer that is also a graph input is only a
 * default; before, every initializer had to be listed as an input.
 */
export function fixedData(graph: Graph, value: Value): Tensor | undefined {
  return graph.info.irVersion >= 4 && graph.isInput(value) ? undefined : value.data;
}
