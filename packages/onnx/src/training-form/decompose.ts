import { GraphDiffOps } from "../operators/graph-diff-ops.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import { applyTo, ruleOf } from "../ops/rule-of.ts";
import type { DecompositionTable } from "./decomposition.ts";

/**
 * Writes the nodes of a table with other operators, in place. Names of graph outputs stay. Decomposed nodes are looked at again, so that one
 * row may use another's operator.
 *
 * @returns the number of nodes that were replaced
 * @throws DgateError `UNSUPPORTED` naming a node of a form that the table does not know
 */
export function decompose(graph: Graph, table: DecompositionTable): number {
  let edits = 0;
  const isListed = (node: Node): boolean => ruleOf(table, node) !== undefined;
  while (graph.nodes().some(isListed)) {
    const ops = new GraphDiffOps(graph, "training");
    for (const node of graph.sorted().filter(isListed)) {
      replace(graph, node, ops, table);
      edits += 1;
    }
  }
  return edits;
}

function replace(graph: Graph, node: Node, ops: GraphDiffOps, table: DecompositionTable): void {
  const rule = ruleOf(table, node)!; // the caller's filter
  const wanted = (index: number): boolean => {
    const output = node.outputs[index];
    return output !== undefined && graph.uses(output).length > 0;
  };
  const results = applyTo(node, () => rule(ops, { node, inputs: node.inputs, wanted }));
  const names = new Map<Value, string>();
  node.outputs.forEach((output, index) => {
    const result = results[index];
    if (!output || !wanted(index) || !result) return;
    const isOutput = graph.uses(output).some((use) => use.node === undefined);
    // A result that has a name of its own, or two names to bear, is given its second name by an Identity.
    const own = isOutput && (!graph.producer(result) || names.has(result) || isOutputOf(graph, result));
    const bearer = own ? ops.call("Identity", [result]) : result;
    graph.replaceUses(output, bearer);
    if (isOutput) names.set(bearer, output.name);
  });
  graph.remove(node);
  for (const [value, name] of names) graph.rename(value, name);
}

const isOutputOf = (graph: Graph, value: Value): boolean =>
  graph.uses(value).some((use) => use.node === undefined);
