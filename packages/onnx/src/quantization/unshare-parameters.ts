import type { Graph } from "../graph/graph.ts";
import { elementCount } from "../io/element-types.ts";
import { parameterInputs } from "../ops/quantized-forms.ts";

/**
 * Gives each node its own list of scales and zero points: lists that happen to be equal (all zero points 0) are often stored
 * once for many layers, which would have to be pruned alike. Returns the number of copies made.
 */
export function unshareParameters(graph: Graph): number {
  let edits = 0;
  for (const value of graph.initializers) {
    const uses = graph.uses(value).slice();
    if (uses.length < 2 || elementCount(value.data!.shape) < 2) continue;
    const onlyParameters = uses.every(
      ({ node, index }) => node && index >= 0 && parameterInputs(node).includes(index),
    );
    if (!onlyParameters) continue;
    for (const { node, index } of uses.slice(1)) {
      graph.setInput(node!, index, graph.addInitializer(graph.freshName(value.name), value.data!));
      edits += 1;
    }
  }
  return edits;
}
