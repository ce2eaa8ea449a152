import { DgateError } from "@dgate/core";
import { describeNode, type Node } from "./types.ts";

/**
 * The nodes in an order in which each follows the nodes it reads from. An order that has this property is kept; else a
 * producer moves to just before its first reader. Depth first with a stack of its own: graphs are deeper than a call stack.
 *
 * @throws DgateError `FORMAT` naming a node on a cycle.
 */
export function topologicalOrder(
  nodes: readonly Node[],
  producersOf: (node: Node) => readonly Node[],
  graphName: string,
): Node[] {
  const sorted: Node[] = [];
  const state = new Map<Node, "open" | "done">();
  const stack: { node: Node; producers: readonly Node[]; at: number }[] = [];
  const enter = (node: Node): void => {
    state.set(node, "open");
    stack.push({ node, producers: producersOf(node), at: 0 });
  };
  for (const root of nodes) {
    if (!state.has(root)) enter(root);
    for (let top = stack.at(-1); top; top = stack.at(-1)) {
      const producer = top.producers[top.at++];
      if (!producer) {
        stack.pop();
        state.set(top.node, "done");
        sorted.push(top.node);
      } else if (state.get(producer) === "open") {
        throw new DgateError(
          "FORMAT",
          `graph "${graphName}" has a cycle through ${describeNode(producer)}; an ONNX graph must be acyclic.`,
        );
      } else if (!state.has(producer)) enter(producer);
    }
  }
  return sorted;
}
