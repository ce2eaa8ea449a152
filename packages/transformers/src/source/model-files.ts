import { DgateError } from "@dgate/core";
import { isNode, nodeFiles } from "../node-modules.ts";
import type { Library } from "../library/library.ts";

/** Where a model's files are: a folder or an id, and what the loader is told. */
export interface FilesOptions {
  readonly revision?: string;
  readonly cacheDir?: string;
  readonly localFilesOnly?: boolean;
  /** Folder of the ONNX files in the model (default `onnx`). */
  readonly subfolder?: string;
}

/** The files of a model, read by the rules of transformers.js: the cache, the local model path, then the hub. */
export interface ModelFiles {
  /** As the caller named it: a folder or an id. */
  readonly name: string;
  readonly subfolder: string;
  /** Content of a file by its path in the model, or `undefined` if it is nowhere. */
  read(path: string): Promise<Uint8Array | undefined>;
  /** Whether there is such a file, without reading it. */
  has(path: string): Promise<boolean>;
  /** Where `read` looks, in order, for messages. */
  places(path: string): readonly string[];
  /** Paths of the model's small files (configuration, tokenizer, …); of a folder what lies in it, of an id those names that models have. */
  list(): Promise<readonly string[]>;
}

/** A file that lies somewhere, or does not. */
interface Place {
  readonly name: string;
  readonly read: () => Promise<Uint8Array | undefined>;
  readonly has: () => Promise<boolean>;
}

/** Names that the hub's models have beside their ONNX files. */
const usualFiles = [
  "config.json",
  "generation_config.json",
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "added_tokens.json",
  "vocab.txt",
  "vocab.json",
  "merges.txt",
  "spiece.model",
  "tokenizer.model",
  "preprocessor_config.json",
  "processor_config.json",
  "chat_template.jinja",
  "1_Pooling/config.json",
  "modules.json",
  "sentence_bert_config.json",
  "config_sentence_transformers.json",
] as const;

/**
 * The files of a model by its id, or by a folder. Nothing is read yet.
 *
 * @param library whose rules say where files are; of a folder nothing else is needed
 */
export function modelFiles(
  library: Library | undefined,
  name: string,
  options: FilesOptions = {},
): ModelFiles {
  const { subfolder = "onnx" } = options;
  /** Why a place did not answer, by its name. */
  const failures = new Map<string, string>();
  const placesOf = (path: string): Place[] =>
    places(library, name, path, { ...options, onFailure: (place, why) => failures.set(place, why) });
  const named = ({ name: place }: Place): string =>
    failures.has(place) ? `${place} (${failures.get(place)})` : place;
  return {
    name,
    subfolder,
    async read(path) {
      for (const place of placesOf(path)) {
        const found = await place.read();
        if (found) return found;
      }
      return undefined;
    },
    async has(path) {
      for (const place of placesOf(path)) if (await place.has()) return true;
      return false;
    },
    places: (path) => placesOf(path).map(named),
    list: () => listFiles(name, library?.module.env.localModelPath ?? null),
  };
}

/** Whether a name has the form of a model's id on the hub (`name` or `owner/name`), as transformers.js tells it from a path. */
export const isModelId = (name: string): boolean =>
  /^(\b[\w.-]+\b\/)?\b[\w.-]{1,96}\b$/.test(name) && !/\.\.|--|\.(git|ipynb)$/.test(name);

/** Whether a name is a path for sure, and no id of a model beneath the local model path. */
export const isPath = (name: string): boolean => /^(\/|\.{1,2}\/|[A-Za-z]:)/.test(name);

/** In the order of the library: its cache, local files, the hub. */
function places(
  library: Library | undefined,
  name: string,
  path: string,
  { onFailure, ...options }: FilesOptions & { readonly onFailure: (place: string, why: string) => void },
): Place[] {
  const load = (given: typeof fetch | undefined): Load => ({ load: given ?? fetch, onFailure });
  if (!library) return [localPlace(join(name, path), load(undefined))];
  const { env } = library.module;
  const { revision = "main", cacheDir = env.cacheDir, localFilesOnly = false } = options;
  const found: Place[] = [];
  const isId = isModelId(name);
  const request = join(name, path);
  const remote = join(
    env.remoteHost,
    env.remotePathTemplate.replaceAll("{model}", name).replaceAll("{revision}", encodeURIComponent(revision)),
    path,
  );
  if (env.useCustomCache && env.customCache) {
    const { customCache } = env;
    found.push(cachePlace(`the custom cache (${remote})`, () => customCache.match(remote)));
  }
  if (env.useBrowserCache && typeof caches !== "undefined") {
    const key = env.cacheKey ?? "transformers-cache";
    found.push(
      cachePlace(`the browser's cache "${key}"`, async () => (await caches.open(key)).match(remote)),
    );
  }
  if (env.useFSCache && cacheDir && isId) {
    found.push(
      localPlace(join(cacheDir, revision === "main" ? request : join(name, revision, path)), load(env.fetch)),
    );
  }
  if (env.allowLocalModels) {
    const beneath = isId || (library.major === 2 && !isPath(name));
    if (!beneath) found.push(localPlace(request, load(env.fetch)));
    else if (env.localModelPath !== null)
      found.push(localPlace(join(env.localModelPath, request), load(env.fetch)));
  }
  if (env.allowRemoteModels && !localFilesOnly && isId) {
    found.push(remotePlace(remote, load(env.fetch)));
  }
  return found;
}

/** A path on disk in Node, a URL of the page's own server in a browser. */
function localPlace(path: string, load: Load): Place {
  if (!isNode()) return remotePlace(path, load);
  return { name: path, read: () => readFromDisk(path), has: () => isFile(path) };
}

/** How a URL is fetched, and who is told why it was not. */
interface Load {
  readonly load: typeof fetch;
  readonly onFailure: (place: string, why: string) => void;
}

function remotePlace(url: string, { load, onFailure }: Load): Place {
  const get = async (method: "GET" | "HEAD"): Promise<Response | undefined> => {
    const response = await load(url, { method }).catch((error: unknown) => reasonOf(error));
    // What a fetch of the user's own gives need not be a Response of this realm.
    const why = typeof response === "string" ? response : refusalOf(response);
    if (typeof response !== "string" && why === undefined) return response;
    onFailure(url, why!);
    return undefined;
  };
  return {
    name: url,
    read: async () => contentOf(await get("GET")),
    has: async () => (await get("HEAD")) !== undefined,
  };
}

/** Why an answer is not the file. A development server may answer with its start page for one that is not there. */
function refusalOf({ ok, status, headers }: Response): string | undefined {
  if (!ok) return `HTTP ${status}`;
  return headers.get("content-type")?.startsWith("text/html") ? "a page" : undefined;
}

/** `fetch` says no more than "fetch failed"; why stands in its cause: ENOTFOUND, ECONNREFUSED. */
function reasonOf(error: unknown): string {
  const { cause, message } = error as {
    readonly cause?: { readonly code?: unknown };
    readonly message?: string;
  }; // of fetch
  return typeof cause?.code === "string" ? cause.code : (message ?? "no answer");
}

const cachePlace = (name: string, match: () => Promise<unknown>): Place => ({
  name,
  read: async () => contentOf(await match()),
  has: async () => (await match()) !== undefined,
});

async function readFromDisk(path: string): Promise<Uint8Array | undefined> {
  const { readFile } = await nodeFiles();
  try {
    return await readFile(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException; // what node:fs throws
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EISDIR") return undefined;
    throw new DgateError("IO", `openHeadGates: ${path} cannot be read (${code}).`, { cause: error });
  }
}

async function isFile(path: string): Promise<boolean> {
  const { stat } = await nodeFiles();
  return stat(path).then(
    (found) => found.isFile(),
    () => false,
  );
}

/** A cache gives a response, or a path in Node. */
async function contentOf(found: unknown): Promise<Uint8Array | undefined> {
  if (typeof found === "string") return readFromDisk(found);
  const response = found as Response | undefined; // what a cache holds
  return response ? new Uint8Array(await response.arrayBuffer()) : undefined;
}

async function listFiles(name: string, localModelPath: string | null): Promise<readonly string[]> {
  if (!isNode()) return usualFiles;
  const { readdir } = await nodeFiles();
  for (const folder of [name, ...(localModelPath === null ? [] : [join(localModelPath, name)])]) {
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => undefined);
    if (!entries) continue;
    const files = entries.filter((entry) => entry.isFile() && !/\.onnx(_data.*)?$/.test(entry.name));
    return [...new Set([...files.map((entry) => entry.name), ...usualFiles])];
  }
  return usualFiles;
}

/** Joins parts of a path or URL with one slash. */
export const join = (...parts: readonly string[]): string =>
  parts
    .map((part, i) =>
      (i === 0 ? part : part.replace(/^\/+/, "")).replace(i < parts.length - 1 ? /\/+$/ : /$^/, ""),
    )
    .join("/");
