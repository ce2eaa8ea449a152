import { nodeName } from "../coupling/analyse.ts";
import type { Graph, Node } from "../graph/graph.ts";
import { stringAttribute } from "../ops/attributes.ts";
import { mergeDomain } from "../ops/flat.ts";

/** Name of a node of a flat graph as it is in its branch of an If: both branches of a merged decoder call a layer the same. */
export function branchFreeName(graph: Graph, node: Node): string {
  let name = nodeName(node);
  for (const merge of graph.nodes("Merge", mergeDomain)) {
    for (const branch of ["then", "else"]) {
      const prefix = stringAttribute(merge, `${branch}_prefix`, "");
      if (prefix !== "" && name.startsWith(prefix)) name = name.slice(prefix.length);
    }
  }
  return name;
}
