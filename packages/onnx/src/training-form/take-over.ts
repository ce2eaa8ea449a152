import type { Graph, Node, Value } from "../graph/graph.ts";
import type { GrowingInference } from "../infer/infer-shapes.ts";

/**
 * Puts values that are computed otherwise in the place of a node's outputs and removes the node. A value that was made for this
 * (`fresh`) takes over name and type of the output; another one keeps its own name, and an Identity bears that of a graph output.
 *
 * @param results one per output that is used
 */
export function takeOver(
  graph: Graph,
  node: Node,
  results: readonly (Value | undefined)[],
  { types }: GrowingInference,
  fresh = true,
): void {
  const old = node.outputs.map((output, index) => {
    const result = results[index];
    if (!output || !result) return undefined;
    const isOutput = graph.uses(output).some((use) => use.node === undefined);
    const bearer = fresh
      ? result
      : isOutput
        ? graph.addNode({ op: "Identity", inputs: [result], name: node.name }).outputs[0]!
        : undefined;
    graph.replaceUses(output, bearer ?? result);
    const type = types.get(output);
    if (bearer && type) types.set(bearer, type);
    return bearer && { bearer, name: output.name, type: output.type, declaration: output.declaration };
  });
  graph.remove(node);
  for (const each of old) {
    if (!each) continue;
    graph.rename(each.bearer, each.name);
    each.bearer.type = each.type;
    if (each.declaration) each.bearer.declaration = each.declaration;
  }
}
