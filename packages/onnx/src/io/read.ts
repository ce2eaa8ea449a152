import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { WireReader } from "../proto/wire-reader.ts";
import { modelFields as fields, opsetFields } from "./fields.ts";
import type { ExternalResolver } from "./external-data.ts";
import { OpaqueFields, ReadContext, readEntry } from "./read-context.ts";
import { normalDomain, readGraph } from "./read-graph.ts";

/** Options of `readModel`. */
export interface ReadOptions {
  /** What the file is called in messages. */
  readonly name?: string;
  /** Gives the content of tensors that lie in other files; without it such a model is refused. */
  readonly externalData?: ExternalResolver;
  /** Upper limit of nodes, values, attributes and texts together: bounds the memory that a hostile file can take. */
  readonly maxItems?: number;
}

/**
 * Reads an ONNX file. Weights stay views on `bytes`, which must not change afterwards. What is not understood (functions,
 * quantization annotations, doc strings, fields of later versions …) is kept and written back by `writeModel`.
 *
 * @param bytes a ModelProto
 * @returns the main graph; nodes in the order of the file, or sorted where the file's order is not topological
 * @throws DgateError `FORMAT` with the place and the byte offset for a malformed file, a name that nothing writes, a name
 * that is defined twice, a cycle, and content that does not fit its shape.
 */
export function readModel(bytes: Uint8Array, options: ReadOptions = {}): Graph {
  const { name = "model", externalData, maxItems = 2_000_000 } = options;
  if (!(bytes instanceof Uint8Array)) {
    throw new DgateError(
      "FORMAT",
      `${name}: readModel takes the bytes of a file as a Uint8Array, got ${typeof bytes}; read a path with readModelFile of @dgate/onnx/node.`,
    );
  }
  refusePointer(bytes, name);
  const context = new ReadContext(maxItems, externalData);
  const reader = WireReader.of(bytes, name);
  const opsets = new Map<string, number>();
  const metadata = new Map<string, string>();
  const opaque = new OpaqueFields();
  let irVersion = 0;
  let producerName = "";
  let producerVersion = "";
  let graphReader: WireReader | undefined;
  while (reader.next()) {
    if (reader.field === fields.irVersion) irVersion = reader.integer();
    else if (reader.field === fields.producerName) producerName = reader.string();
    else if (reader.field === fields.producerVersion) producerVersion = reader.string();
    else if (reader.field === fields.graph) {
      if (graphReader) reader.fail("a second graph");
      graphReader = reader.message("graph");
    } else if (reader.field === fields.opsetImport) {
      context.count(reader);
      readOpset(reader.message("opset_import"), opsets);
    } else if (reader.field === fields.metadata) {
      context.count(reader);
      readEntry(reader.message("metadata_props"), metadata);
    } else opaque.add(reader, context);
  }
  if (!graphReader) {
    throw new DgateError(
      "FORMAT",
      `${name}: no graph in ${bytes.length} bytes; the file is empty, cut off or not an ONNX model.`,
    );
  }
  const graph = readGraph(graphReader, context, opsets, false);
  graph.info = {
    irVersion,
    producerName,
    producerVersion,
    metadata,
    opaque: opaque.parts,
    ...(context.usesExternal && { externalData: true }),
  };
  return graph;
}

/** How a pointer of Git LFS begins: what a clone without LFS has in the place of a model. */
const pointerStart = "version https://git-lfs";

function refusePointer(bytes: Uint8Array, name: string): void {
  if (new TextDecoder().decode(bytes.subarray(0, pointerStart.length)) !== pointerStart) return;
  throw new DgateError(
    "FORMAT",
    `${name}: is a pointer of Git LFS, not the model itself; run git lfs pull, or download the file.`,
  );
}

/** Adds an OperatorSetIdProto to a map. */
export function readOpset(reader: WireReader, into: Map<string, number>): void {
  let domain = "";
  let version = 0;
  while (reader.next()) {
    if (reader.field === opsetFields.domain) domain = normalDomain(reader.string());
    else if (reader.field === opsetFields.version) version = reader.integer();
  }
  into.set(domain, version);
}
