import { DgateError } from "@dgate/core";
import { type Graph, readModel } from "@dgate/onnx";
import type { DroppedFile } from "../ui/dropped-file.ts";

/**
 * Reads an ONNX file, and of the files that were dropped with it those that have its weights: they are looked up from the model's own folder on.
 *
 * @returns with the bytes of the file and of its weights beside it
 * @throws DgateError `FORMAT` for what is no ONNX model, `IO` for weights that are not there
 */
export async function readDropped(
  file: DroppedFile,
  all: readonly DroppedFile[],
  name: string,
): Promise<{ readonly graph: Graph; readonly bytes: number }> {
  const bytes = await bytesOf(file);
  const beside = new Map<DroppedFile, Uint8Array>();
  // Files are read asynchronously, a model is not: where it asks for another file, it is read anew once that is here.
  for (;;) {
    let wanted: DroppedFile | undefined;
    let read = 0;
    try {
      const graph = readModel(bytes, {
        name,
        externalData: ({ location, offset, length }) => {
          const found = weightsFile(file.path, location, all, name);
          const content = beside.get(found);
          if (!content) {
            wanted = found;
            throw new DgateError("IO", `${name}: ${location} is not read yet.`);
          }
          read += length;
          return content.subarray(offset, offset + length);
        },
      });
      return { graph, bytes: bytes.length + read };
    } catch (error) {
      if (!wanted) throw error;
      beside.set(wanted, await bytesOf(wanted));
    }
  }
}

async function bytesOf({ path, content }: DroppedFile): Promise<Uint8Array> {
  try {
    return new Uint8Array(await content.arrayBuffer());
  } catch (cause) {
    throw new DgateError(
      "IO",
      `${path} cannot be read (${cause instanceof Error ? cause.message : String(cause)}). Was it changed or moved? Drop it again.`,
      { cause },
    );
  }
}

/** The file with a model's weights. Files that came without folders may have lain in some: of them the name counts. */
function weightsFile(
  model: string,
  location: string,
  all: readonly DroppedFile[],
  name: string,
): DroppedFile {
  const folder = model.slice(0, model.lastIndexOf("/") + 1);
  const parts = location.split("/").filter((part) => part !== "" && part !== ".");
  const own = all.filter(({ path }) => path === folder + parts.join("/"));
  const found = own.length > 0 || folder !== "" ? own : all.filter(({ path }) => path === parts.at(-1));
  if (found.length === 1) return found[0]!;
  throw new DgateError(
    "IO",
    found.length === 0
      ? `${name}: its weights lie in ${location}; drop that file together with the model, or the folder that has both.`
      : `${name}: its weights lie in ${location}, and ${found.length} files have this name; drop the folder that has the model and its weights.`,
  );
}
