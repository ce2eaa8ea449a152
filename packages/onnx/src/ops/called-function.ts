import { DgateError } from "@dgate/core";
import type { Graph, Node } from "../graph/graph.ts";
import { calledKey, type ModelFunction, modelFunctions, referenceOf } from "../io/read-function.ts";

/** Why a node that calls a function of the model is still there; `undefined` for a node that calls none. */
export function callReason(graph: Graph, node: Node): string | undefined {
  const body = calledFunction(graph, node);
  if (body === undefined) return undefined;
  const why = typeof body === "string" ? body : "stands in a branch or is one of too many";
  return `calls the model's own function "${calledKey(node)}", which ${why}`;
}

/** The function that a node calls, or why it cannot take the node's place; `undefined` for other nodes. */
export function calledFunction(graph: Graph, node: Node): ModelFunction | string | undefined {
  const found = modelFunctions(graph.info).get(calledKey(node));
  if (!found) return undefined;
  if (found instanceof DgateError) return `cannot be read (${found.message.replace(/\.$/, "")})`;
  if (found.overload !== "") return "is overloaded";
  for (const [domain, version] of found.opsets) {
    const own = graph.opsets.get(domain);
    if (own !== undefined && own !== version) {
      return `is written for version ${version} of ${domain || "ai.onnx"}, not for the model's ${own}`;
    }
  }
  const attributes = found.nodes.flatMap((inner) => [...inner.attributes.values()]);
  if (attributes.some(({ kind }) => kind === "graph")) return "has a subgraph";
  const names = attributes.map(referenceOf).filter((name) => name !== undefined);
  const given = names.map((name) => node.attributes.get(name) ?? found.defaults.get(name));
  if (given.some((attribute) => attribute?.kind === "opaque"))
    return "takes an attribute of a kind that is not known";
  return found;
}
