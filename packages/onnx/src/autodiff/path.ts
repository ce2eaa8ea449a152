import { DgateError } from "@dgate/core";
import { describeNode, type Graph, type Node, type Value } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import { constantOps } from "./rules/constant-ops.ts";

/** The part of a graph that a derivative goes through. */
export interface Path {
  /** Nodes between what is differentiated and the seeds, in topological order. */
  readonly nodes: readonly Node[];
  /** Values that depend on `wrt` and that the seeds depend on. */
  readonly values: ReadonlySet<Value>;
}

const floats: ReadonlySet<string> = new Set<DataType>(["float32", "float64", "float16", "bfloat16"]);

/** Whether values of an element type have derivatives. */
export const isDifferentiable = (dtype: DataType | undefined): boolean =>
  dtype === undefined || floats.has(dtype);

/**
 * The nodes and values between `wrt` and `seeds`. What rounds, compares or counts is constant almost everywhere, and ends a path.
 *
 * @param dtypeOf element type of a value, `undefined` where it is not known
 * @throws DgateError `UNSUPPORTED` for control flow on the path, naming the node
 */
export function pathBetween(
  graph: Graph,
  wrt: Iterable<Value>,
  seeds: Iterable<Value>,
  dtypeOf: (value: Value) => DataType | undefined,
): Path {
  const sorted = graph.sorted();
  const dependent = new Set(wrt);
  for (const node of sorted) {
    if (node.domain === "" && constantOps.has(node.op)) continue;
    if (!reads(graph, node).some((value) => dependent.has(value))) continue;
    for (const output of node.outputs) if (output && isDifferentiable(dtypeOf(output))) dependent.add(output);
  }
  const values = new Set([...seeds].filter((value) => dependent.has(value)));
  const nodes: Node[] = [];
  for (const node of sorted.toReversed()) {
    if (!node.outputs.some((output) => output && values.has(output))) continue;
    if (innerGraphs(node).length > 0) refuseControlFlow(node);
    nodes.push(node);
    for (const input of node.inputs) if (input && dependent.has(input)) values.add(input);
  }
  return { nodes: nodes.reverse(), values };
}

function refuseControlFlow(node: Node): never {
  throw new DgateError(
    "UNSUPPORTED",
    `gradients: ${describeNode(node)} is control flow between what is differentiated and the loss; ` +
      "export the model without it, or one of its branches as a model.",
  );
}

const innerGraphs = (node: Node): Graph[] =>
  [...node.attributes.values()].flatMap((attribute) => (attribute.kind === "graph" ? [attribute.value] : []));

/** What a node reads, in its subgraphs too. */
function reads(graph: Graph, node: Node): Value[] {
  const captured = innerGraphs(node).flatMap((inner) =>
    inner.outer.flatMap(({ name }) => graph.value(name) ?? []),
  );
  return [...node.inputs.filter((value) => value !== undefined), ...captured];
}
