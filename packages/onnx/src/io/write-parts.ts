import { DgateError } from "@dgate/core";
import { checkGraph } from "../graph/check-graph.ts";
import type { Graph } from "../graph/graph.ts";
import type { WireWriter } from "../proto/wire-writer.ts";
import { ExternalLayout } from "./external-layout.ts";
import { checkModelSize, finishModel, maxModelBytes, modelMessage } from "./write.ts";

/** Which constants are written beside the model. */
export interface ExternalDataOptions {
  /** Contents of at least this many bytes go to the external file (default 1024); smaller ones stay in the model. */
  readonly threshold?: number;
}

/** Options of `writeModelParts` and `writeModelFile`. */
export interface WriteOptions {
  /**
   * Whether constants go to a file beside the model. `auto` (default): if the graph was read from such a model, or if the
   * model would pass 2 GiB, where a protobuf file ends.
   */
  readonly externalData?: "auto" | boolean | ExternalDataOptions;
}

/** Content of a file beside a model. */
export interface ExternalPart {
  /** Name under which the model looks for it: a file of its own folder. */
  readonly location: string;
  readonly sizeBytes: number;
  /** The content in pieces, which must not be changed: views on the graph's constants, and zeros that align them. */
  readonly chunks: () => Iterable<Uint8Array>;
}

/** A written model: its file, and the file beside it if it has one. */
export interface ModelParts {
  readonly model: Uint8Array<ArrayBuffer>;
  readonly data: ExternalPart | undefined;
}

/**
 * The graph as an ONNX file and, where `externalData` asks for it, the file of its constants. Constants are not copied: the
 * second file is given in pieces.
 *
 *     const { model, data } = writeModelParts(graph, "small.onnx_data", { externalData: true });
 *     await new Response(new Blob([...data.chunks()])).arrayBuffer();
 *
 * @param location name of the external file, as it stands in the model
 * @throws DgateError as `writeModel`; `OPTION` for a location that is no plain file name or a threshold that is no size;
 * `UNSUPPORTED` if the model without these constants still passes 2 GiB
 */
export function writeModelParts(graph: Graph, location: string, options: WriteOptions = {}): ModelParts {
  const { message, data } = layOut(graph, location, options);
  return { model: finishModel(message), data };
}

/** As `writeModelParts`, with the model as a message that can be written piece by piece. */
export function layOut(
  graph: Graph,
  location: string,
  { externalData = "auto" }: WriteOptions,
): { readonly message: WireWriter; readonly data: ExternalPart | undefined } {
  const threshold = checkThreshold(externalData);
  checkGraph(graph);
  if (externalData === false || (externalData === "auto" && !graph.info.externalData)) {
    const message = modelMessage(graph);
    if (externalData === false) checkModelSize(message.length);
    if (message.length < maxModelBytes) return { message, data: undefined };
  }
  checkLocation(location);
  const layout = new ExternalLayout(location, threshold);
  const message = modelMessage(graph, layout.place);
  checkModelSize(message.length);
  const { sizeBytes } = layout;
  return {
    message,
    data: sizeBytes === 0 ? undefined : { location, sizeBytes, chunks: () => layout.chunks() },
  };
}

function checkLocation(location: string): void {
  if (!/^[^/\\\0:]+$/.test(location) || location === "." || location === "..") {
    throw new DgateError(
      "OPTION",
      `externalData: the file beside the model needs a plain name such as "model.onnx_data", got ${JSON.stringify(location)}.`,
    );
  }
}

function checkThreshold(externalData: WriteOptions["externalData"]): number {
  const threshold = (typeof externalData === "object" ? externalData.threshold : undefined) ?? 1024;
  if (!Number.isSafeInteger(threshold) || threshold < 0) {
    throw new DgateError("OPTION", `externalData: threshold must be a size in bytes, got ${threshold}.`);
  }
  return threshold;
}
