import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { checkGraph } from "../graph/check-graph.ts";
import { WireWriter } from "../proto/wire-writer.ts";
import { entryFields, modelFields as fields, opsetFields } from "./fields.ts";
import { graphMessage } from "./write-graph.ts";
import type { ContentPlacer } from "./write-tensor.ts";

/** One protobuf message ends before this many bytes. */
export const maxModelBytes: number = 2 ** 31;

/**
 * The graph as an ONNX file, with all constants inside it. What `readModel` kept unread is written back.
 *
 * @throws DgateError `FORMAT` or `SHAPE` for a graph that is not whole (see `checkGraph`), `UNSUPPORTED` past 2 GiB.
 */
export function writeModel(graph: Graph): Uint8Array<ArrayBuffer> {
  checkGraph(graph);
  return finishModel(modelMessage(graph));
}

/**
 * A model message as one array.
 * @throws DgateError `UNSUPPORTED` past 2 GiB
 */
export function finishModel(message: WireWriter): Uint8Array<ArrayBuffer> {
  checkModelSize(message.length);
  return message.finish();
}

/** @throws DgateError `UNSUPPORTED` for more bytes than a protobuf file can have */
export function checkModelSize(sizeBytes: number): void {
  if (sizeBytes < maxModelBytes) return;
  throw new DgateError(
    "UNSUPPORTED",
    `the model takes ${sizeBytes} bytes, but one protobuf file ends at 2 GiB (2147483647 bytes); ` +
      "write its constants as external data (writeModelFile, or writeModelParts).",
  );
}

/** A ModelProto; contents of initializers go where `place` says, see `graphMessage`. The graph must be whole. */
export function modelMessage(graph: Graph, place?: ContentPlacer): WireWriter {
  const { info, opsets } = graph;
  const writer = new WireWriter();
  writer.integer(fields.irVersion, info.irVersion);
  if (info.producerName) writer.string(fields.producerName, info.producerName);
  if (info.producerVersion) writer.string(fields.producerVersion, info.producerVersion);
  writer.message(fields.graph, graphMessage(graph, place));
  for (const [domain, version] of opsets) {
    const opset = new WireWriter();
    opset.string(opsetFields.domain, domain);
    opset.integer(opsetFields.version, version);
    writer.message(fields.opsetImport, opset);
  }
  for (const [key, value] of info.metadata) {
    const entry = new WireWriter();
    entry.string(entryFields.key, key);
    entry.string(entryFields.value, value);
    writer.message(fields.metadata, entry);
  }
  for (const field of info.opaque) writer.raw(field);
  return writer;
}
