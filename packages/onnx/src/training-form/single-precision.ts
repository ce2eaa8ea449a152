import { DgateError } from "@dgate/core";
import { type Attribute, int, tensor } from "../graph/attribute.ts";
import type { Graph, Node, ValueType } from "../graph/graph.ts";
import { type DataType, dataTypes, type Tensor } from "../graph/tensor.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { intAttribute } from "../ops/attributes.ts";
import { subgraphsOf } from "./subgraphs.ts";
import { takeOver } from "./take-over.ts";

const halves: ReadonlySet<DataType> = new Set(["float16", "bfloat16"]);

const halfCodes: ReadonlySet<number> = new Set([dataTypes.float16, dataTypes.bfloat16]);

/** Attributes that hold an element type: what an operator writes, or computes in. */
const typeAttributes: ReadonlySet<string> = new Set([
  "to",
  "dtype",
  "output_dtype",
  "output_datatype",
  "stash_type",
  "softmax_precision",
]);

/**
 * Makes float32 of all that is float16 or bfloat16, in place, subgraphs included: inputs, initializers, declared types, constants of
 * nodes, and types that operators name. The numbers stay what they are. A Cast that then has nothing to do is taken out.
 *
 * @returns the number of values, attributes and Casts that were changed
 * @throws DgateError `UNSUPPORTED` for a sparse initializer of halves
 */
export function toSinglePrecision(graph: Graph): number {
  const edits = widenGraph(graph);
  return edits === 0 ? 0 : edits + dropIdleCasts(graph);
}

function widenGraph(graph: Graph): number {
  let edits = 0;
  for (const value of graph.values) {
    const { data, type } = value;
    if (!isHalf((data ?? type)?.dtype)) continue;
    if (value.sparse) {
      throw new DgateError(
        "UNSUPPORTED",
        `graph "${graph.name}": the sparse initializer "${value.name}" is ${type?.dtype}; store it as float32.`,
      );
    }
    if (data) graph.setData(value, widened(data));
    else value.type = widenedType(type!); // isHalf: there is one
    edits += 1;
  }
  for (const node of graph.nodes()) edits += widenNode(graph, node);
  return edits;
}

function widenNode(graph: Graph, node: Node): number {
  let edits = 0;
  for (const [name, attribute] of node.attributes) {
    const wide = widenedAttribute(name, attribute);
    if (!wide) continue;
    graph.setAttribute(node, name, wide);
    edits += 1;
  }
  for (const [name, inner] of subgraphsOf(node)) {
    const inside = widenGraph(inner);
    if (inside > 0) graph.setAttribute(node, name, { kind: "graph", value: inner });
    edits += inside;
  }
  return edits;
}

const isHalf = (dtype: DataType | undefined): boolean => dtype !== undefined && halves.has(dtype);

const widenedType = ({ shape }: ValueType): ValueType =>
  shape ? { dtype: "float32", shape } : { dtype: "float32" };

/** The same numbers: float32 holds every number of both types. */
const widened = (data: Tensor): Tensor => tensorOf("float32", data.shape, readNumbers(data));

function widenedAttribute(name: string, attribute: Attribute): Attribute | undefined {
  if (attribute.kind === "tensor" && isHalf(attribute.value.dtype)) return tensor(widened(attribute.value));
  const named = attribute.kind === "int" && typeAttributes.has(name) && halfCodes.has(attribute.value);
  return named ? int(dataTypes.float32) : undefined;
}

/** Takes out Casts from float32 to float32. */
function dropIdleCasts(graph: Graph): number {
  let edits = 0;
  const inference = inferShapes(graph);
  for (const node of graph.sorted()) {
    for (const [name, inner] of subgraphsOf(node)) {
      const inside = dropIdleCasts(inner);
      if (inside > 0) graph.setAttribute(node, name, { kind: "graph", value: inner });
      edits += inside;
    }
    if (node.op !== "Cast" || node.domain !== "") continue;
    const x = node.inputs[0]!;
    const isIdle =
      intAttribute(node, "to", 0) === dataTypes.float32 && inference.types.get(x)?.dtype === "float32";
    // The Identity that would bear the name of an output is no better.
    if (!isIdle || graph.uses(node.outputs[0]!).some((use) => use.node === undefined)) continue;
    takeOver(graph, node, [x], inference, false);
    edits += 1;
  }
  return edits;
}
