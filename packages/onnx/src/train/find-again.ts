import type { Graph } from "../graph/graph.ts";
import { findSites } from "../sites/find-sites.ts";
import type { Site } from "../sites/site.ts";

/** The sites of a model that have the names of sites of another form of it: quantized, or before it was pruned. */
export function findAgain(graph: Graph, sites: readonly Site[]): Site[] {
  const names = new Set(sites.map(({ name }) => name));
  return findSites(graph).filter(({ name }) => names.has(name));
}
