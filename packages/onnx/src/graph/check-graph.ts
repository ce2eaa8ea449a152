import { DgateError } from "@dgate/core";
import { contentOf } from "../io/tensor-data.ts";
import type { Graph } from "./graph.ts";
import { describeNode, type Value } from "./types.ts";

/**
 * Checks that a graph is whole: everything that is read is an input, a constant or written by one node, constants are as
 * long as their shapes say, and nothing depends on itself. Subgraphs are checked with it.
 *
 * @throws DgateError `FORMAT` (`SHAPE` for a constant) naming the node and the value.
 */
export function checkGraph(graph: Graph): void {
  const unknown = graph.outer[0];
  if (unknown)
    throw new DgateError(
      "FORMAT",
      `${readerOf(graph, unknown)} reads "${unknown.name}", which nothing writes.`,
    );
  checkScope(graph);
}

function checkScope(graph: Graph): void {
  const given = new Set<Value>([...graph.inputs, ...graph.outer]);
  for (const value of graph.values) {
    const written = graph.producer(value) !== undefined;
    const there = written || given.has(value) || value.data !== undefined || value.sparse !== undefined;
    if (!there && graph.uses(value).length > 0) {
      throw new DgateError(
        "FORMAT",
        `${readerOf(graph, value)} reads "${value.name}", which nothing writes.`,
      );
    }
    if (value.data) checkConstant(value);
  }
  for (const node of graph.nodes()) {
    for (const attribute of node.attributes.values())
      if (attribute.kind === "graph") checkScope(attribute.value);
  }
  graph.sorted();
}

function checkConstant(value: Value): void {
  try {
    if (value.data!.dtype !== "string") contentOf(value.data!);
  } catch (cause) {
    throw new DgateError("SHAPE", `initializer "${value.name}": ${(cause as Error).message}`, { cause });
  }
}

function readerOf(graph: Graph, value: Value): string {
  const use = graph.uses(value)[0];
  return use?.node ? describeNode(use.node) : `graph "${graph.name}", as an output,`;
}
