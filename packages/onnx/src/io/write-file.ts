import { basename, dirname, join } from "node:path";
import type { Graph } from "../graph/graph.ts";
import { layOut, type WriteOptions } from "./write-parts.ts";
import { writeTogether } from "./write-together.ts";

/** Options of `writeModelFile`. */
export interface WriteFileOptions extends WriteOptions {
  /** Stops the writing; nothing is left of it. */
  readonly signal?: AbortSignal;
}

/** What `writeModelFile` wrote. */
export interface WrittenModel {
  /** The model, and the file of its constants if it has one. */
  readonly files: readonly string[];
  /** Bytes of all of them. */
  readonly sizeBytes: number;
}

/** Where `writeModelFile` puts external data: `model.onnx_data` for `model.onnx`, the name that transformers.js loads. */
export function externalDataPath(path: string): string {
  return `${path}_data`;
}

/**
 * Writes a graph as an ONNX file and, where `externalData` asks for it, its constants to `externalDataPath(path)` beside it.
 * Constants go to the disk one by one, without a copy of the model in memory. Both files are written under temporary names
 * first and renamed together: they are whole or not there.
 *
 * @throws DgateError `IO` if they cannot be written, `ABORTED` by the signal, else as `writeModelParts`
 */
export async function writeModelFile(
  path: string,
  graph: Graph,
  { signal, ...options }: WriteFileOptions = {},
): Promise<WrittenModel> {
  const dataPath = externalDataPath(path);
  const { message, data } = layOut(graph, basename(dataPath), options);
  const model = { path, content: message.parts() };
  const files = data
    ? [{ path: join(dirname(path), data.location), content: data.chunks() }, model]
    : [model];
  await writeTogether(files, signal);
  return { files: data ? [path, dataPath] : [path], sizeBytes: message.length + (data?.sizeBytes ?? 0) };
}
