import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { DgateError } from "@dgate/core";
import { exists, reasonOf } from "../io/files.ts";
import { type Progress, silent } from "../io/terminal.ts";
import type { RemoteFile } from "./sources.ts";

export interface FetchOptions {
  /** `$XDG_CACHE_HOME/dgate`, else `~/.cache/dgate`. */
  readonly cache?: string;
  readonly progress?: Progress;
  readonly signal?: AbortSignal;
}

/** Where downloads are kept: `$XDG_CACHE_HOME/dgate`, else `~/.cache/dgate`. */
function cacheFolder(): string {
  return join(process.env["XDG_CACHE_HOME"] || join(homedir(), ".cache"), "dgate");
}

/**
 * The path of a remote file in the cache, fetched if it is not there. A file gets its name only after its size and SHA-256 are
 * right; what is wrong is deleted.
 *
 * @throws DgateError `IO` when the server cannot be reached or answers an error, `CHECK` for a wrong size or digest,
 *   `ABORTED` by the signal
 */
export async function fetchFile(
  file: RemoteFile,
  folder: string,
  { cache = cacheFolder(), progress = silent, signal }: FetchOptions = {},
): Promise<string> {
  const path = join(cache, folder, file.name);
  if (await exists(path)) return path;
  const temporary = `${path}.${randomUUID()}.tmp`;
  try {
    await mkdir(join(cache, folder), { recursive: true });
    await download(file, temporary, progress, signal);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw explain(error, file, folder, path, signal);
  }
  return path;
}

async function download(
  file: RemoteFile,
  path: string,
  progress: Progress,
  signal: AbortSignal | undefined,
): Promise<void> {
  progress.line(`fetching ${file.url} (${(file.sizeBytes / 1e6).toFixed(1)} MB)`);
  const response = await fetch(file.url, signal ? { signal } : {});
  if (!response.ok || !response.body) {
    throw new DgateError("IO", `${file.url}: the server answers ${response.status} ${response.statusText}.`);
  }
  const hash = createHash("sha256");
  const output = await open(path, "wx");
  let received = 0;
  try {
    for await (const chunk of response.body) {
      received += chunk.length;
      if (received > file.sizeBytes) break;
      hash.update(chunk);
      await output.write(chunk);
      progress.bar(received / file.sizeBytes, `${file.name} ${(received / 1e6).toFixed(1)} MB`);
    }
    await output.sync();
  } finally {
    await output.close();
  }
  checkContent(file, received, hash.digest("hex"));
}

function checkContent(file: RemoteFile, received: number, digest: string): void {
  if (received !== file.sizeBytes) {
    const found = received > file.sizeBytes ? `more than ${file.sizeBytes}` : `${received}`;
    throw new DgateError(
      "CHECK",
      `${file.url}: expected ${file.sizeBytes} bytes, received ${found}; nothing was kept, try again.`,
    );
  }
  if (digest !== file.sha256) {
    throw new DgateError(
      "CHECK",
      `${file.url}: SHA-256 is ${digest}, expected ${file.sha256}; nothing was kept: the file was changed on its way or at its source.`,
    );
  }
}

function explain(
  error: unknown,
  file: RemoteFile,
  folder: string,
  path: string,
  signal?: AbortSignal,
): DgateError {
  if (error instanceof DgateError) return error;
  if (signal?.aborted)
    return new DgateError("ABORTED", `${file.url}: stopped; nothing was kept.`, { cause: error });
  // undici says only "fetch failed"; its cause says why.
  const reason = reasonOf(error instanceof Error && error.cause instanceof Error ? error.cause : error);
  return new DgateError(
    "IO",
    `${file.url}: cannot be fetched to ${path} (${reason}); put the file into DGATE_DATA/${folder}/ by hand, or use --data digits, which needs no network.`,
    { cause: error },
  );
}
