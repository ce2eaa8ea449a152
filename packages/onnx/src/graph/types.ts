import type { Attribute } from "./attribute.ts";
import type { DataType, Tensor } from "./tensor.ts";

/** A dimension: a size, a symbolic name such as `batch`, or `undefined` where nothing is known. */
export type Dim = number | string | undefined;

/** Element type and shape of a value; `shape` is absent where even the rank is unknown. */
export interface ValueType {
  readonly dtype: DataType;
  readonly shape?: readonly Dim[];
}

/** How a file declares a value; written back as it was as long as the value's type is that very object. */
export interface Declaration {
  readonly type: ValueType | undefined;
  /** The content of TypeProto, if the file gives one: sequence, map and optional types are kept only here. */
  readonly typeBytes: Uint8Array | undefined;
  /** Other fields of ValueInfoProto (doc string, metadata), as file bytes. */
  readonly extra: Uint8Array | undefined;
}

/**
 * A value of a graph: a graph input, a node's output, an initializer (then `data` is set), a sparse initializer or, in a
 * subgraph, a reference to a value of the graph around it. Compared by identity; the name is unique within its graph.
 */
export interface Value {
  readonly name: string;
  /** Set a new object for a new type; absent where unknown and for what is no tensor. */
  type: ValueType | undefined;
  /** The constant content of an initializer. */
  data: Tensor | undefined;
  /** A sparse initializer: the content of its SparseTensorProto. */
  readonly sparse?: Uint8Array;
  /** What the file says about the value. */
  declaration?: Declaration;
}

/** An operator call. Compared by identity. Edges are edited through `Graph` only. */
export interface Node {
  readonly name: string;
  readonly op: string;
  /** `""` is the standard domain `ai.onnx`. */
  readonly domain: string;
  /** An optional input that is left out is `undefined`. */
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly (Value | undefined)[];
  readonly attributes: ReadonlyMap<string, Attribute>;
  /** Other fields of NodeProto (doc string, metadata, overload, unknown ones), as file bytes. */
  readonly extra?: Uint8Array;
}

/**
 * Where a value is used: input `index` of `node`; graph output `index` (then `node` is absent); or, with index −1, inside
 * a subgraph that is an attribute of `node`.
 */
export interface Use {
  readonly node: Node | undefined;
  readonly index: number;
}

/** What an ONNX file says beside its graph; carried from reader to writer. */
export interface ModelInfo {
  readonly irVersion: number;
  readonly producerName: string;
  readonly producerVersion: string;
  /** `metadata_props`. */
  readonly metadata: ReadonlyMap<string, string>;
  /** Fields of the model that are not interpreted (doc string, functions, training info, unknown ones), as file bytes. */
  readonly opaque: readonly Uint8Array[];
  /** Whether constants of the file lay in other files; they are then written beside the model again. */
  readonly externalData?: boolean;
}

/** What a caller gives to make a node. */
export interface NodeInit {
  readonly op: string;
  readonly inputs: readonly (Value | undefined)[];
  /** Values to write, or the number of outputs to create (1 if left out). */
  readonly outputs?: readonly (Value | undefined)[] | number;
  readonly attributes?: Readonly<Record<string, Attribute>> | ReadonlyMap<string, Attribute>;
  readonly name?: string;
  readonly domain?: string;
  readonly extra?: Uint8Array;
}

/** `MatMul "/layer.0/query/MatMul"`, for messages. */
export function describeNode(node: Node): string {
  return `${node.domain ? `${node.domain}.` : ""}${node.op} "${node.name || (node.outputs[0]?.name ?? "")}"`;
}
