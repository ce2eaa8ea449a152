import { DgateError } from "@dgate/core";
import { describeNode, type Dim, type Node } from "../graph/types.ts";

/** @throws DgateError `UNSUPPORTED` naming the node, its domain and why it has no training form */
export function refuse(node: Node, why: string): never {
  const domain = node.domain || "ai.onnx";
  throw new DgateError(
    "UNSUPPORTED",
    `training form: ${describeNode(node)} (domain "${domain}") cannot be written with operators that have derivatives: ${why}.`,
  );
}

/** A size that has to be known. */
export function knownSize(node: Node, dim: Dim, what: string): number {
  if (typeof dim === "number") return dim;
  return refuse(node, `the ${what} is not known; declare it in the model's value_info`);
}
