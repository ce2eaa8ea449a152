import { type Graph, insertGates } from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import { readerSites } from "./reader-sites.ts";

/** A graph whose groups are scaled by inputs. */
export interface LiveGraph {
  /** Its gates have defaults of one. */
  readonly graph: Graph;
  /** The gate input of each block, `[groups]`, by the block's name. */
  readonly inputs: ReadonlyMap<string, string>;
}

/** Puts one gate per group into a graph. Blocks are those of the graph; the graph itself is not changed. */
export function liveGraph(graph: Graph, blocks: readonly GatedBlock[]): LiveGraph {
  const { sites, roles } = readerSites(blocks);
  const gated = insertGates(graph, sites, {
    depth: 2,
    initial: "ones",
    roles,
    sites: sites.map(({ name }) => name),
  });
  return { graph: gated, inputs: new Map(blocks.map(({ name }) => [name, `${name}.gate.1`])) };
}

/** The same graph with gates that have to be fed: onnxruntime's own `run` takes no feeds for inputs with a default. */
export function withOpenGates({ graph, inputs }: LiveGraph): Graph {
  const copy = graph.clone();
  for (const name of inputs.values()) {
    const value = copy.value(name);
    if (value) value.data = undefined;
  }
  return copy;
}
