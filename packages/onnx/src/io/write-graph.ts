import type { Attribute } from "../graph/attribute.ts";
import type { Graph } from "../graph/graph.ts";
import { dataTypes } from "../graph/tensor.ts";
import type { Dim, Node, Value, ValueType } from "../graph/types.ts";
import { WireWriter } from "../proto/wire-writer.ts";
import {
  attributeFields,
  attributeTypes,
  dimFields,
  graphFields as fields,
  nodeFields,
  shapeFields,
  tensorTypeFields,
  typeFields,
  valueInfoFields,
} from "./fields.ts";
import { type ContentPlacer, tensorMessage } from "./write-tensor.ts";

/**
 * A GraphProto, nodes in topological order. Contents of initializers go where `place` says; those of subgraphs stay in the
 * message, because onnxruntime does not find them in files that it is given from memory, as a web page gives them.
 */
export function graphMessage(graph: Graph, place?: ContentPlacer): WireWriter {
  const writer = new WireWriter();
  for (const node of graph.sorted()) writer.message(fields.node, nodeMessage(node));
  writer.string(fields.name, graph.name);
  for (const value of graph.values) {
    if (value.data) writer.message(fields.initializer, tensorMessage(value.data, value.name, place));
    if (value.sparse) writer.bytes(fields.sparseInitializer, value.sparse);
  }
  for (const value of graph.inputs) writer.message(fields.input, valueMessage(value));
  for (const value of graph.outputs) writer.message(fields.output, valueMessage(value));
  const declared = new Set<Value>([...graph.inputs, ...graph.outputs]);
  for (const value of graph.values) {
    if (!declared.has(value) && hasValueInfo(value)) writer.message(fields.valueInfo, valueMessage(value));
  }
  if (graph.extra) writer.raw(graph.extra);
  return writer;
}

/** A constant tells its type itself; the file may declare it all the same. */
function hasValueInfo(value: Value): boolean {
  return value.data || value.sparse ? isDeclared(value) : value.type !== undefined || isDeclared(value);
}

/** Whether what the file said about a value still holds: nobody has set another type. */
function isDeclared({ declaration, type }: Value): boolean {
  return declaration !== undefined && (declaration.type ?? type) === type;
}

function nodeMessage(node: Node): WireWriter {
  const writer = new WireWriter();
  for (const value of node.inputs) writer.string(nodeFields.input, value?.name ?? "");
  for (const value of node.outputs) writer.string(nodeFields.output, value?.name ?? "");
  if (node.name) writer.string(nodeFields.name, node.name);
  writer.string(nodeFields.op, node.op);
  for (const [name, attribute] of node.attributes) {
    if (attribute.kind === "opaque") writer.bytes(nodeFields.attribute, attribute.bytes);
    else writer.message(nodeFields.attribute, attributeMessage(name, attribute));
  }
  if (node.domain) writer.string(nodeFields.domain, node.domain);
  if (node.extra) writer.raw(node.extra);
  return writer;
}

function attributeMessage(name: string, attribute: Exclude<Attribute, { kind: "opaque" }>): WireWriter {
  const writer = new WireWriter();
  writer.string(attributeFields.name, name);
  writeContent(writer, attribute);
  writer.integer(attributeFields.type, attributeTypes[attribute.kind]);
  if (attribute.extra) writer.raw(attribute.extra);
  return writer;
}

function writeContent(writer: WireWriter, attribute: Exclude<Attribute, { kind: "opaque" }>): void {
  switch (attribute.kind) {
    case "float":
      return writer.float(attributeFields.float, attribute.value);
    case "int":
      return writer.integer(attributeFields.int, toInt64(attribute.value));
    case "string":
      return writer.string(attributeFields.string, attribute.value);
    case "tensor":
      return writer.message(attributeFields.tensor, tensorMessage(attribute.value));
    case "graph":
      return writer.message(attributeFields.graph, graphMessage(attribute.value));
    case "floats":
      return writer.packedFloats(attributeFields.floats, attribute.value);
    case "ints":
      return writer.packedIntegers(attributeFields.ints, attribute.value.map(toInt64));
    case "strings":
      for (const text of attribute.value) writer.string(attributeFields.strings, text);
  }
}

/** ±Number.MAX_SAFE_INTEGER stand for INT64_MAX and INT64_MIN; see `Attribute`. */
function toInt64(value: number): number | bigint {
  if (value === Number.MAX_SAFE_INTEGER) return 2n ** 63n - 1n;
  if (value === Number.MIN_SAFE_INTEGER) return -(2n ** 63n);
  return value;
}

function valueMessage(value: Value): WireWriter {
  const writer = new WireWriter();
  writer.string(valueInfoFields.name, value.name);
  const typeBytes = isDeclared(value) ? value.declaration?.typeBytes : undefined;
  if (typeBytes) writer.bytes(valueInfoFields.type, typeBytes);
  else if (value.type) writer.message(valueInfoFields.type, typeMessage(value.type));
  if (value.declaration?.extra) writer.raw(value.declaration.extra);
  return writer;
}

function typeMessage({ dtype, shape }: ValueType): WireWriter {
  const tensorType = new WireWriter();
  tensorType.integer(tensorTypeFields.elementType, dataTypes[dtype]);
  if (shape) {
    const dims = new WireWriter();
    for (const dim of shape) dims.message(shapeFields.dim, dimMessage(dim));
    tensorType.message(tensorTypeFields.shape, dims);
  }
  const writer = new WireWriter();
  writer.message(typeFields.tensor, tensorType);
  return writer;
}

function dimMessage(dim: Dim): WireWriter {
  const writer = new WireWriter();
  if (typeof dim === "number") writer.integer(dimFields.value, dim);
  else if (dim !== undefined) writer.string(dimFields.name, dim);
  return writer;
}
