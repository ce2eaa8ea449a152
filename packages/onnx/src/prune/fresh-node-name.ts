import type { Graph } from "../graph/graph.ts";

/** A node name derived from `stem` that no node of the graph has: runtimes refuse two nodes of one name. */
export function freshNodeName(graph: Graph, stem: string): string {
  const taken = new Set(graph.nodes().map(({ name }) => name));
  let name = stem;
  for (let i = 2; taken.has(name); i++) name = `${stem}_${i}`;
  return name;
}
