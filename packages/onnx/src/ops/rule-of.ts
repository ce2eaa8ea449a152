import { DgateError } from "@dgate/core";
import { describeNode, type Node } from "../graph/types.ts";

/** The row of a table for a node: rows of the standard domain by operator, of others by `domain.Operator`. */
export function ruleOf<Rule>(table: Readonly<Record<string, Rule>>, node: Node): Rule | undefined {
  const key = node.domain === "" ? node.op : `${node.domain}.${node.op}`;
  return Object.hasOwn(table, key) ? table[key] : undefined;
}

/**
 * Applies a rule to a node. Rules trust the number of inputs, axes and sizes that the operator asks for; a node of a
 * damaged or hostile file may have others, and what then breaks in a rule is an error of the node.
 *
 * @throws DgateError `FORMAT` naming the node
 */
export function applyTo<Result>(node: Node, rule: () => Result): Result {
  try {
    return rule();
  } catch (cause) {
    if (cause instanceof DgateError) throw cause;
    throw new DgateError(
      "FORMAT",
      `${describeNode(node)} has inputs or attributes that its operator does not allow (${String(cause)}); ` +
        "check the file with another tool.",
      { cause },
    );
  }
}
