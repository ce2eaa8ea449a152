import type { Graph, Node } from "../graph/graph.ts";
import type { GrowingInference } from "../infer/infer-shapes.ts";

/** The subgraphs of a node (branches of an If, the body of a Loop or Scan) by the name of their attribute. */
export function subgraphsOf(node: Node): readonly (readonly [name: string, graph: Graph])[] {
  return [...node.attributes].flatMap(([name, attribute]) =>
    attribute.kind === "graph" ? [[name, attribute.value] as const] : [],
  );
}

/** A graph and all graphs inside it. */
export function graphsWithin(graph: Graph): readonly Graph[] {
  return [
    graph,
    ...graph
      .nodes()
      .flatMap(subgraphsOf)
      .flatMap(([, inner]) => graphsWithin(inner)),
  ];
}

/**
 * Lets `edit` change each direct subgraph of a graph, whose outer values first get the types that are known here.
 *
 * @returns the sum of what `edit` returns
 */
export function editSubgraphs(
  graph: Graph,
  { types }: GrowingInference,
  edit: (inner: Graph) => number,
): number {
  let edits = 0;
  for (const node of graph.nodes()) {
    for (const [name, inner] of subgraphsOf(node)) {
      for (const value of inner.outer) {
        const source = graph.value(value.name);
        // What a pruned model's subgraph says of a weight outside may be what it was before.
        value.type = (source && types.get(source)) ?? value.type;
      }
      const changed = edit(inner);
      // What the subgraph takes from here may have changed with it.
      if (changed > 0) graph.setAttribute(node, name, { kind: "graph", value: inner });
      edits += changed;
    }
  }
  return edits;
}

/** Gives out names that no value of a graph or of its subgraphs has: a name of an inner graph must not hide an outer one. */
export class FreshNames {
  readonly #taken: Set<string>;

  constructor(graph: Graph) {
    const values = graphsWithin(graph).flatMap((each) => [...each.values]);
    this.#taken = new Set(values.map(({ name }) => name));
  }

  next(stem: string): string {
    let name = stem;
    for (let i = 2; this.#taken.has(name); i++) name = `${stem}_${i}`;
    this.#taken.add(name);
    return name;
  }
}
