import { randomUUID } from "node:crypto";
import { lstatSync, renameSync, rmSync } from "node:fs";
import { mkdir, open, writeFile } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { DgateError } from "@dgate/core";
import { reasonOf } from "./external-files.ts";

/** A file to write. */
export interface FileContent {
  readonly path: string;
  /** The content in pieces. */
  readonly content: Iterable<Uint8Array>;
}

interface StagedFile extends FileContent {
  readonly temporary: string;
}

/**
 * Writes files that belong together: all of them, or none. Each is written and flushed under a temporary name beside its
 * place; then all are renamed, the last one last. Whoever reads the last file meanwhile, or after a crash, finds the
 * others as it needs them, or does not find it.
 *
 * @throws DgateError `IO` naming the file that cannot be written, `ABORTED` by the signal; what was there is then still there
 */
export async function writeTogether(files: readonly FileContent[], signal?: AbortSignal): Promise<void> {
  const staged = files.map((file) => ({ ...file, temporary: `${file.path}.${randomUUID()}.part` }));
  const clean = (): void => {
    for (const { temporary } of staged) removeQuietly(temporary);
  };
  // A process that ends by process.exit, as commands do at a second Ctrl-C, leaves nothing either.
  process.once("exit", clean);
  try {
    for (const file of staged) await stage(file, signal);
    replaceAll(staged);
  } finally {
    process.off("exit", clean);
    clean();
  }
}

async function stage(
  { path, temporary, content }: StagedFile,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    signal?.throwIfAborted();
    await mkdir(dirname(resolve(path)), { recursive: true });
    const file = await open(temporary, "wx");
    try {
      await writeFile(file, inBlocks(content), signal ? { signal } : {});
      await file.sync();
    } finally {
      await file.close();
    }
  } catch (cause) {
    if (signal?.aborted)
      throw new DgateError("ABORTED", `${path}: not written, cancelled.`, { cause: signal.reason });
    throw failure(path, cause);
  }
}

/** Pieces of this many bytes are worth a call of the system each. */
const blockSize = 2 ** 16;

/** The same bytes with small pieces put together. A block is only good until the next one is asked for. */
function* inBlocks(pieces: Iterable<Uint8Array>): Generator<Uint8Array, void, undefined> {
  const block = new Uint8Array(blockSize);
  let used = 0;
  for (const piece of pieces) {
    if (used > 0 && used + piece.length > blockSize) {
      yield block.subarray(0, used);
      used = 0;
    }
    if (piece.length >= blockSize) yield piece;
    else {
      block.set(piece, used);
      used += piece.length;
    }
  }
  if (used > 0) yield block.subarray(0, used);
}

/**
 * Renames all files. Synchronously: nothing of this process comes between. Old files are moved aside first, the last one
 * before all others, and come back if a rename fails.
 */
function replaceAll(staged: readonly StagedFile[]): void {
  const undo: (() => void)[] = [];
  const moved: string[] = [];
  let current = "";
  try {
    // A single rename replaces by itself.
    for (const { path } of staged.length > 1 ? staged.toReversed() : []) {
      current = path;
      const there = lstatSync(path, { throwIfNoEntry: false });
      if (!there) continue;
      if (there.isDirectory()) throw new Error("a folder has this name");
      const aside = `${path}.${randomUUID()}.part`;
      renameSync(path, aside);
      moved.push(aside);
      undo.unshift(() => renameSync(aside, path));
    }
    for (const { path, temporary } of staged) {
      current = path;
      renameSync(temporary, path);
      undo.unshift(() => rmSync(path, { force: true }));
    }
  } catch (cause) {
    for (const step of undo) step();
    throw failure(current, cause);
  }
  for (const aside of moved) removeQuietly(aside);
}

/** What cannot be removed stays; the error that led here, or the files that are there, matter more. */
function removeQuietly(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // See above.
  }
}

function failure(path: string, cause: unknown): DgateError {
  return new DgateError("IO", `${path}: cannot be written (${reasonOf(cause)}).`, { cause });
}
