import { DgateError } from "@dgate/core";
import { type Graph, readModel } from "@dgate/onnx";
import { readWhole } from "../io/files.ts";

/** A model read from a file. */
export interface ModelFile {
  readonly path: string;
  readonly bytes: Uint8Array;
  readonly graph: Graph;
}

/**
 * Reads an ONNX file; what is wrong with it is said with its path.
 *
 * @throws DgateError `IO` or what `readModel` throws
 */
export async function openModel(path: string): Promise<ModelFile> {
  const bytes = await readWhole(path);
  try {
    return { path, bytes, graph: readModel(bytes) };
  } catch (error) {
    if (error instanceof DgateError)
      throw new DgateError(error.code, `${path}: ${error.message}`, { cause: error });
    throw error;
  }
}
