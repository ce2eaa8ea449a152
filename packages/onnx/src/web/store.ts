import type * as Fs from "node:fs/promises";
import type * as Os from "node:os";
import type * as Path from "node:path";
import { DgateError } from "@dgate/core";
import { isNode } from "../runtime/ort-module.ts";

/** Where downloaded files are kept, by name. Entries are whole or not there. */
export interface Store {
  get(name: string): Promise<Uint8Array | undefined>;
  put(name: string, content: Uint8Array): Promise<void>;
}

/**
 * The store of this environment: the Cache API in browsers, a folder in Node.
 * @param place name of the cache, or path of the folder; by default `dgate-models`, in Node below the user's cache folder
 */
export async function openStore(place?: string): Promise<Store> {
  if (isNode()) return openFolder(place);
  if (typeof caches === "undefined") {
    throw new DgateError(
      "UNSUPPORTED",
      "the cache needs a secure page: serve it by HTTPS or from localhost, or set cache: false.",
    );
  }
  return cacheStore(await caches.open(place ?? "dgate-models"));
}

/** Keys of the Cache API are URLs; nothing is ever fetched from this one. */
const cacheKey = (name: string): string => new URL(`/.dgate-models/${name}`, globalThis.location.href).href;

function cacheStore(cache: Cache): Store {
  return {
    async get(name) {
      const response = await cache.match(cacheKey(name));
      return response && new Uint8Array(await response.arrayBuffer());
    },
    async put(name, content) {
      await cache.put(cacheKey(name), new Response(content as Uint8Array<ArrayBuffer>)); // shared memory is refused at run time
    },
  };
}

// Names in variables keep Node's modules out of bundles for browsers.
const fsModule = "node:fs/promises";
const osModule = "node:os";
const pathModule = "node:path";

async function openFolder(place: string | undefined): Promise<Store> {
  // The types of the modules that are imported by a variable name.
  const fs = (await import(/* @vite-ignore */ fsModule)) as typeof Fs;
  const os = (await import(/* @vite-ignore */ osModule)) as typeof Os;
  const path = (await import(/* @vite-ignore */ pathModule)) as typeof Path;
  const folder =
    place ?? path.join(process.env.XDG_CACHE_HOME || path.join(os.homedir(), ".cache"), "dgate", "models");
  return {
    async get(name) {
      try {
        return new Uint8Array(await fs.readFile(path.join(folder, name)));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
        throw new DgateError("IO", `the cache ${folder} cannot be read: ${(error as Error).message}`, {
          cause: error,
        });
      }
    },
    async put(name, content) {
      const temporary = path.join(folder, `${name}.${process.pid}.${Date.now()}.part`);
      try {
        await fs.mkdir(folder, { recursive: true });
        await fs.writeFile(temporary, content);
        await fs.rename(temporary, path.join(folder, name));
      } catch (error) {
        await fs.rm(temporary, { force: true });
        throw new DgateError("IO", `the cache ${folder} cannot be written: ${(error as Error).message}`, {
          cause: error,
        });
      }
    },
  };
}

/** The content of a file of this machine; Node only. */
export async function readLocalFile(url: string): Promise<Uint8Array> {
  const fs = (await import(/* @vite-ignore */ fsModule)) as typeof Fs;
  try {
    return new Uint8Array(await fs.readFile(url.startsWith("file:") ? new URL(url) : url));
  } catch (error) {
    throw new DgateError("IO", `${url} cannot be read: ${(error as Error).message}`, { cause: error });
  }
}
