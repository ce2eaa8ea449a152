import { DgateError } from "@dgate/core";
import type { Attribute } from "../graph/attribute.ts";
import { Graph } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { Value, ValueType } from "../graph/types.ts";
import type { WireReader } from "../proto/wire-reader.ts";
import { elementCount } from "./element-types.ts";
import { graphFields as fields, nodeFields, sparseFields } from "./fields.ts";
import { readAttribute } from "./read-attribute.ts";
import { OpaqueFields, placed, type ReadContext } from "./read-context.ts";
import { readTensor } from "./read-tensor.ts";
import { type NamedDeclaration, readValueInfo } from "./read-type.ts";

/** A node whose values are names. */
export interface NodeDraft {
  name: string;
  op: string;
  domain: string;
  readonly inputs: string[];
  readonly outputs: string[];
  readonly attributes: Map<string, Attribute>;
  extra: Uint8Array | undefined;
}

interface GraphDraft {
  name: string;
  readonly nodes: NodeDraft[];
  readonly inputs: NamedDeclaration[];
  readonly outputs: NamedDeclaration[];
  readonly valueInfos: NamedDeclaration[];
  readonly initializers: { readonly name: string; readonly tensor: Tensor }[];
  readonly sparse: { readonly name: string; readonly type: ValueType; readonly bytes: Uint8Array }[];
}

/**
 * Reads a GraphProto. In a subgraph (`nested`) a name that nothing in it defines is an outer value; in the main graph it
 * is an error.
 */
export function readGraph(
  reader: WireReader,
  context: ReadContext,
  opsets: ReadonlyMap<string, number>,
  nested: boolean,
): Graph {
  const draft: GraphDraft = {
    name: "",
    nodes: [],
    inputs: [],
    outputs: [],
    valueInfos: [],
    initializers: [],
    sparse: [],
  };
  const extra = new OpaqueFields();
  while (reader.next()) {
    context.count(reader);
    if (!readField(reader, draft, context, opsets)) extra.add(reader, context);
  }
  const graph = new Graph(draft.name, opsets);
  graph.extra = extra.joined();
  placed(reader, () => build(graph, draft, (what) => (nested ? undefined : reader.fail(what))));
  return graph;
}

function readField(
  reader: WireReader,
  draft: GraphDraft,
  context: ReadContext,
  opsets: ReadonlyMap<string, number>,
): boolean {
  switch (reader.field) {
    case fields.node:
      draft.nodes.push(readNode(reader.message(`node ${draft.nodes.length}`), context, opsets));
      return true;
    case fields.name:
      draft.name = reader.string();
      return true;
    case fields.initializer:
      draft.initializers.push(readTensor(reader.message("initializer"), context, false));
      return true;
    case fields.sparseInitializer:
      draft.sparse.push(readSparse(reader.message("sparse_initializer"), reader.bytes(), context));
      return true;
    case fields.input:
      draft.inputs.push(readValueInfo(reader.message("input"), context));
      return true;
    case fields.output:
      draft.outputs.push(readValueInfo(reader.message("output"), context));
      return true;
    case fields.valueInfo:
      draft.valueInfos.push(readValueInfo(reader.message("value_info"), context));
      return true;
    default:
      return false;
  }
}

/** Reads a NodeProto. */
export function readNode(
  reader: WireReader,
  context: ReadContext,
  opsets: ReadonlyMap<string, number>,
): NodeDraft {
  const node: NodeDraft = {
    name: "",
    op: "",
    domain: "",
    inputs: [],
    outputs: [],
    attributes: new Map(),
    extra: undefined,
  };
  const extra = new OpaqueFields();
  const subgraph = (inner: WireReader): Graph => readGraph(inner, context, opsets, true);
  while (reader.next()) {
    context.count(reader);
    if (reader.field === nodeFields.input) node.inputs.push(reader.string());
    else if (reader.field === nodeFields.output) node.outputs.push(reader.string());
    else if (reader.field === nodeFields.name) node.name = reader.string();
    else if (reader.field === nodeFields.op) node.op = reader.string();
    else if (reader.field === nodeFields.domain) node.domain = normalDomain(reader.string());
    else if (reader.field === nodeFields.attribute) {
      const read = readAttribute(reader.message("attribute"), reader.bytes(), context, subgraph);
      if (node.attributes.has(read.name)) reader.fail(`attribute "${read.name}" is given twice`);
      node.attributes.set(read.name, read.attribute);
    } else extra.add(reader, context);
  }
  if (node.op === "") reader.fail(`node "${node.name}" has no operator`);
  node.extra = extra.joined();
  return node;
}

/** The standard domain has two spellings. */
export function normalDomain(domain: string): string {
  return domain === "ai.onnx" ? "" : domain;
}

function readSparse(
  reader: WireReader,
  bytes: Uint8Array,
  context: ReadContext,
): GraphDraft["sparse"][number] {
  let name = "";
  let dtype: ValueType["dtype"] | undefined;
  const shape: number[] = [];
  while (reader.next()) {
    if (reader.field === sparseFields.values) {
      const values = readTensor(reader.message("values"), context, false);
      name = values.name;
      dtype = values.tensor.dtype;
    } else if (reader.field === sparseFields.dims) {
      reader.integers((low, high) => {
        context.count(reader);
        shape.push((high | 0) * 2 ** 32 + low);
      });
    }
  }
  if (!dtype) return reader.fail("a sparse initializer has no values");
  placed(reader, () => elementCount(shape)); // for its checks
  return { name, type: { dtype, shape }, bytes };
}

function build(graph: Graph, draft: GraphDraft, missing: (what: string) => void): void {
  defineValues(graph, draft);
  const reference = (name: string, reader: () => string): Value => {
    const value = graph.value(name);
    if (!value) missing(`${reader()} reads "${name}", which nothing writes`);
    return value ?? graph.addOuter(name);
  };
  for (const { inputs, outputs, ...init } of draft.nodes) {
    graph.addNode({
      op: init.op,
      name: init.name,
      domain: init.domain,
      attributes: init.attributes,
      ...(init.extra && { extra: init.extra }),
      inputs: inputs.map((name) =>
        name === "" ? undefined : reference(name, () => `${init.op} "${init.name || outputs[0]}"`),
      ),
      outputs: outputs.map((name) => (name === "" ? undefined : graph.value(name))),
    });
  }
  for (const captured of graph.outer) missing(`a subgraph reads "${captured.name}", which nothing writes`);
  for (const { name, declaration } of draft.outputs) {
    const value = reference(name, () => `graph "${graph.name}", as an output,`);
    declare(value, declaration);
    graph.addOutput(value);
  }
  // Declarations of values that do not exist say nothing about the graph and are left out.
  for (const { name, declaration } of draft.valueInfos) {
    const value = graph.value(name);
    if (value && !value.declaration) declare(value, declaration);
  }
  graph.sortNodes();
}

/** Inputs, constants and node outputs, so that nodes may come in any order. */
function defineValues(graph: Graph, draft: GraphDraft): void {
  const inputs = new Map(draft.inputs.map((input) => [input.name, input]));
  const defaults = new Map(draft.initializers.map((initializer) => [initializer.name, initializer.tensor]));
  for (const { name, declaration } of inputs.size === draft.inputs.length ? inputs.values() : draft.inputs) {
    const value = graph.addValue(name);
    value.data = defaults.get(name);
    if (value.data) value.type = { dtype: value.data.dtype, shape: value.data.shape };
    declare(value, declaration);
    graph.declareInput(value);
  }
  const seen = new Set<string>();
  for (const { name, tensor } of draft.initializers) {
    // The second one of a name is caught by addInitializer, unless the first one was an input's.
    if (!inputs.has(name) || seen.has(name)) graph.addInitializer(name, tensor);
    seen.add(name);
  }
  for (const { name, type, bytes } of draft.sparse) graph.addSparseInitializer(name, type, bytes);
  for (const { outputs } of draft.nodes) for (const name of outputs) if (name !== "") graph.addValue(name);
}

function declare(value: Value, declaration: NamedDeclaration["declaration"]): void {
  const { type } = declaration;
  if (value.data && type) checkDeclared(value.name, value.data, type);
  value.declaration = declaration;
  value.type = declaration.type ?? value.type;
}

/** A declared size may be open; a fixed one must be that of the content. */
function checkDeclared(name: string, data: Tensor, { dtype, shape }: ValueType): void {
  const fits = shape?.every((dim, axis) => typeof dim !== "number" || dim === data.shape[axis]) ?? true;
  if (dtype === data.dtype && fits && (!shape || shape.length === data.shape.length)) return;
  throw new DgateError(
    "SHAPE",
    `"${name}" is declared as ${dtype}[${shape?.map((dim) => dim ?? "?").join(", ") ?? "…"}], ` +
      `but its content is ${data.dtype}[${data.shape.join(", ")}]`,
  );
}
