import { DgateError } from "@dgate/core";
import type { DroppedFile } from "../ui/dropped-file.ts";

/** Files of a model by their path in its folder. */
export type ModelFolder = ReadonlyMap<string, Blob>;

/** A model's folder among files that were dropped. */
export interface FoundFolder {
  readonly name: string;
  readonly files: ModelFolder;
  /** Where its ONNX files are: `onnx`, or the folder itself. */
  readonly subfolder: string;
}

/** ONNX files that transformers.js looks for, without element type and ending. */
const usualModel = /^(model|encoder_model|decoder_model|decoder_model_merged)(_[a-z0-9]+)?\.onnx$/;

/**
 * The folder of a model: the one with the config.json that lies highest.
 *
 * @throws DgateError `IO` saying what is missing
 */
export function findModelFolder(dropped: readonly DroppedFile[]): FoundFolder {
  const [config] = dropped
    .filter(({ path }) => path.split("/").at(-1) === "config.json")
    .toSorted((a, b) => depth(a.path) - depth(b.path));
  if (!config) {
    throw new DgateError(
      "IO",
      `This is not a model folder: none of the ${dropped.length} files is a config.json. Drop the whole folder of a transformers.js model: config.json, tokenizer.json and onnx/model.onnx.`,
    );
  }
  const root = config.path.slice(0, -"config.json".length);
  const files = new Map(
    dropped
      .filter(({ path }) => path.startsWith(root))
      .map(({ path, content }) => [path.slice(root.length), content]),
  );
  const subfolder = subfolderOf(files);
  const missing = [
    subfolder === undefined && "an ONNX file (onnx/model.onnx)",
    !files.has("tokenizer.json") && "the tokenizer (tokenizer.json)",
    !files.has("tokenizer_config.json") && "the tokenizer's settings (tokenizer_config.json)",
  ].filter((each) => each !== false);
  if (subfolder === undefined || missing.length > 0) {
    throw new DgateError(
      "IO",
      `The folder has a config.json, but not ${missing.join(", nor ")}. Put what is missing beside it and drop the folder again.`,
    );
  }
  return { name: modelName(root.split("/").at(-2) ?? ""), files: withUsualName(files, subfolder), subfolder };
}

const depth = (path: string): number => path.split("/").length;

function subfolderOf(files: ModelFolder): string | undefined {
  const models = [...files.keys()].filter((path) => path.endsWith(".onnx"));
  return ["onnx", ""].find((folder) => models.some((path) => folderOf(path) === folder));
}

const folderOf = (path: string): string => path.slice(0, Math.max(0, path.lastIndexOf("/")));

/** A single ONNX file may have any name. */
function withUsualName(files: ModelFolder, subfolder: string): ModelFolder {
  const models = [...files.keys()].filter((path) => path.endsWith(".onnx") && folderOf(path) === subfolder);
  const [only] = models;
  if (models.length !== 1 || usualModel.test(only!.slice(only!.lastIndexOf("/") + 1))) return files;
  const named = subfolder === "" ? "model.onnx" : `${subfolder}/model.onnx`;
  return new Map([...files, [named, files.get(only!)!]]);
}

/** A name of the form that transformers.js takes for a model's. */
export const modelName = (folder: string): string =>
  folder
    .replaceAll(/[^\w.-]+/g, "-")
    .replaceAll(/[-.]{2,}/g, "-")
    .replaceAll(/^[^\w]+|[^\w]+$/g, "")
    .slice(0, 90) || "model";

/** Folders in memory, under addresses that never reach a network. */
export class MemoryFolders {
  /** Where they are: transformers.js's `localModelPath`. */
  readonly path = "/memory/";
  readonly #folders = new Map<string, ModelFolder>();

  /** Puts a model's folder there, in place of one of the same name. */
  put(name: string, files: ModelFolder): void {
    this.#folders.set(name, files);
  }

  remove(name: string): void {
    this.#folders.delete(name);
  }

  /** Content of an address: undefined for one of elsewhere, a 404 for a file that is not there. */
  answer(address: string, method = "GET"): Response | undefined {
    if (!address.startsWith(this.path)) return undefined;
    const [name = "", ...path] = address.slice(this.path.length).split("/");
    const content = this.#folders.get(name)?.get(path.join("/"));
    if (!content) return new Response(null, { status: 404 });
    const headers = { "Content-Length": String(content.size), "Content-Type": "application/octet-stream" };
    return new Response(method === "HEAD" ? null : content, { headers });
  }
}

/** Files in memory as what a fetch answers with. */
export const blobsOf = (files: Iterable<readonly [string, Uint8Array | string]>): ModelFolder =>
  // None of them is in shared memory.
  new Map([...files].map(([path, content]) => [path, new Blob([content as BlobPart])]));
