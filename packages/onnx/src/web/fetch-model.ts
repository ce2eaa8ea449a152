import { DgateError } from "@dgate/core";
import { isNode } from "../runtime/ort-module.ts";
import { download, type Progress } from "./download.ts";
import { sha256 } from "./hash.ts";
import { openStore, readLocalFile, type Store } from "./store.ts";

/** Where a model comes from and how it is kept. */
export interface FetchOptions {
  readonly onProgress?: (progress: Progress) => void;
  readonly signal?: AbortSignal;
  /** Keep the file: `true`, or the name of the cache (browsers) or the folder (Node). */
  readonly cache?: boolean | string;
  /** SHA-256 that the file must have, in hexadecimal; with a cache, a file that is there needs no network. */
  readonly sha256?: string;
  /** Bytes at which a download is given up. */
  readonly maxBytes?: number;
}

/**
 * A model file from a URL, or in Node from a path. With a cache, files lie under their SHA-256 and are checked when read;
 * a file whose hash is not given is asked for by its ETag, so the server need not send it again.
 */
export async function fetchModel(url: string, options: FetchOptions): Promise<Uint8Array> {
  const { cache = false, sha256: wanted } = options;
  if (wanted !== undefined && !/^[0-9a-f]{64}$/i.test(wanted)) {
    throw new DgateError("OPTION", `load: sha256 must be 64 hexadecimal digits, got "${wanted}".`);
  }
  if (isNode() && (url.startsWith("file:") || !/^[a-z][a-z0-9+.-]+:/i.test(url))) {
    return checked(url, await readLocalFile(url), wanted);
  }
  if (cache === false) return checked(url, await downloaded(url, options), wanted);
  const store = await openStore(cache === true ? undefined : cache);
  return wanted === undefined
    ? byEtag(url, store, options)
    : byHash(url, store, wanted.toLowerCase(), options);
}

async function byHash(url: string, store: Store, hash: string, options: FetchOptions): Promise<Uint8Array> {
  const kept = await whole(store, hash);
  if (kept) return kept;
  const bytes = await checked(url, await downloaded(url, options), hash);
  await store.put(hash, bytes);
  return bytes;
}

async function byEtag(url: string, store: Store, options: FetchOptions): Promise<Uint8Array> {
  const entry = `${await sha256(new TextEncoder().encode(url))}.json`;
  const index = await readIndex(store, entry);
  const kept = index && (await whole(store, index.sha256));
  // Across origins the header would need the server's leave.
  const mayAsk = isNode() || new URL(url, globalThis.location.href).origin === globalThis.location.origin;
  const { signal, onProgress, maxBytes = 2 ** 31 } = options;
  const answer = await download(url, {
    signal,
    onProgress,
    maxBytes,
    etag: mayAsk && kept ? index?.etag : undefined,
  });
  if (!answer.bytes) return kept!; // "not changed" is an answer to the ETag of what is kept
  const hash = await sha256(answer.bytes);
  await store.put(hash, answer.bytes);
  if (answer.etag) {
    await store.put(
      entry,
      new TextEncoder().encode(JSON.stringify({ url, sha256: hash, etag: answer.etag })),
    );
  }
  return answer.bytes;
}

async function readIndex(store: Store, entry: string): Promise<{ sha256: string; etag: string } | undefined> {
  const bytes = await store.get(entry);
  try {
    const { sha256: hash, etag } = JSON.parse(new TextDecoder().decode(bytes)) as Record<string, unknown>;
    return typeof hash === "string" && typeof etag === "string" ? { sha256: hash, etag } : undefined;
  } catch {
    return undefined; // absent or damaged: the file is fetched again
  }
}

/** A kept file, if its content is still what its name says. */
async function whole(store: Store, hash: string): Promise<Uint8Array | undefined> {
  const bytes = await store.get(hash);
  return bytes && (await sha256(bytes)) === hash ? bytes : undefined;
}

async function downloaded(
  url: string,
  { signal, onProgress, maxBytes = 2 ** 31 }: FetchOptions,
): Promise<Uint8Array> {
  const { bytes } = await download(url, { signal, onProgress, maxBytes });
  return bytes!; // absent only in an answer to an ETag
}

async function checked(url: string, bytes: Uint8Array, wanted: string | undefined): Promise<Uint8Array> {
  if (wanted === undefined) return bytes;
  const hash = await sha256(bytes);
  if (hash !== wanted.toLowerCase()) {
    throw new DgateError(
      "CHECK",
      `${url} has SHA-256 ${hash}, expected ${wanted.toLowerCase()}; it was changed or damaged.`,
    );
  }
  return bytes;
}
