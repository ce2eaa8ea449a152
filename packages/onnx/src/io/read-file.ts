import { readFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { type ExternalFile, ExternalFiles, reasonOf } from "./external-files.ts";
import { readModel, type ReadOptions } from "./read.ts";

/** Options of `openModelFile` and `readModelFile`. */
export type ReadFileOptions = Omit<ReadOptions, "externalData" | "name">;

/** A model that was read from a file. */
export interface ModelFile {
  readonly graph: Graph;
  /** Content of the file itself: all of the model if `external` is empty. */
  readonly bytes: Uint8Array;
  /** The files beside it that hold constants. */
  readonly external: readonly ExternalFile[];
  /** Bytes of the file and of those beside it. */
  readonly sizeBytes: number;
}

/**
 * Reads an ONNX file with the external data beside it. External files must be regular files below the model's folder;
 * links are refused, for a model from elsewhere could point them at anything. Each tensor of external data is read into memory
 * of its own: models past 2 GiB take the memory of their weights and no more.
 *
 * @throws DgateError `IO` if a file cannot be read, `UNSUPPORTED` if there is no memory for a tensor, else as `readModel`
 */
export async function openModelFile(path: string, options: ReadFileOptions = {}): Promise<ModelFile> {
  let bytes: Uint8Array;
  try {
    bytes = await readFile(path);
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "ERR_FS_FILE_TOO_LARGE") {
      throw new DgateError("FORMAT", `${path}: ${tooLarge}`, { cause });
    }
    throw new DgateError("IO", `${path}: cannot be read (${reasonOf(cause)}); is the path right?`, { cause });
  }
  const files = new ExternalFiles(path, dirname(resolve(path)));
  const graph = readModel(bytes, {
    ...options,
    name: path,
    externalData: (reference) => files.read(reference),
  });
  const external = files.files;
  const sizeBytes = external.reduce((sum, file) => sum + file.sizeBytes, bytes.length);
  return { graph, bytes, external, sizeBytes };
}

const tooLarge =
  "a file of more than 2 GiB is no ONNX model, for a protobuf file ends there; larger models have external data.";

/** The graph of `openModelFile`. */
export async function readModelFile(path: string, options: ReadFileOptions = {}): Promise<Graph> {
  return (await openModelFile(path, options)).graph;
}
