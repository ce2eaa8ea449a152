import { DgateError } from "@dgate/core";
import { type ExternalResolver, type Graph, readModel } from "@dgate/onnx";
import { type Dtype, dtypeSuffixes } from "./dtype.ts";
import { join, type ModelFiles } from "./model-files.ts";

/** A graph that was read from a model's files. */
export interface ReadGraph {
  readonly graph: Graph;
  /** Bytes of the external data beside the file. */
  readonly externalBytes: number;
}

/** Path in a model of one of its ONNX files, `model` say. */
export const pathOf = ({ subfolder }: Pick<ModelFiles, "subfolder">, file: string, dtype: Dtype): string =>
  join(...(subfolder === "" ? [] : [subfolder]), `${file}${dtypeSuffixes[dtype]}.onnx`);

/**
 * The graph of a file; where it does not stand alone, with its external data from the files beside it.
 *
 * @throws DgateError `FORMAT`
 */
export async function readGraph(files: ModelFiles, path: string, bytes: Uint8Array): Promise<ReadGraph> {
  const name = join(files.name, path);
  try {
    return { graph: readModel(bytes, { name }), externalBytes: 0 };
  } catch (error) {
    const external = new Map<string, Uint8Array>();
    for (let i = 0; ; i++) {
      const part = `${path}_data${i === 0 ? "" : `_${i}`}`;
      const data = await files.read(part);
      if (!data) break;
      external.set(part.slice(part.lastIndexOf("/") + 1), data);
    }
    if (external.size === 0) throw error;
    const graph = readModel(bytes, {
      name,
      externalData: (reference) => resolve(name, external, reference),
    });
    return { graph, externalBytes: [...external.values()].reduce((sum, { length }) => sum + length, 0) };
  }
}

function resolve(
  name: string,
  external: ReadonlyMap<string, Uint8Array>,
  { location, offset, length }: Parameters<ExternalResolver>[0],
): Uint8Array {
  const data = external.get(location);
  if (data && offset + length <= data.length) return data.subarray(offset, offset + length);
  throw new DgateError(
    "FORMAT",
    `${name} takes bytes ${offset} to ${offset + length} of "${location}", which ${data ? `has ${data.length}` : "is not there"}; download the model again.`,
  );
}
