import { randomUUID } from "node:crypto";
import { access, constants, mkdir, open, readFile, rename, rm, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { DgateError } from "@dgate/core";

/**
 * Writes a file whole or not at all: to a temporary name beside it, flushed, then renamed.
 *
 * @throws DgateError `IO` naming the path
 */
export async function writeWhole(path: string, content: string | Uint8Array): Promise<void> {
  const temporary = join(dirname(path), `.${randomUUID()}.tmp`);
  try {
    const file = await open(temporary, "wx");
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw new DgateError("IO", `${path}: cannot be written (${reasonOf(error)}).`, { cause: error });
  }
}

/**
 * Reads a file.
 *
 * @throws DgateError `IO` naming the path
 */
export async function readWhole(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw new DgateError("IO", `${path}: cannot be read (${reasonOf(error)}); is the path right?`, {
      cause: error,
    });
  }
}

/**
 * Makes an output folder and refuses, before any work is done, one that cannot be written or that holds a file of the same name.
 *
 * @returns removes the folders that this made, as far as they are still empty: for work that failed
 * @throws DgateError `IO` for an unwritable folder, `OPTION` for an existing file without `force`
 */
export async function prepareOutputs(
  folder: string,
  names: readonly string[],
  force: boolean,
): Promise<() => Promise<void>> {
  let made: string | undefined;
  try {
    made = await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
  } catch (error) {
    throw new DgateError(
      "IO",
      `${folder}: cannot be written (${reasonOf(error)}); choose another folder with -o.`,
      { cause: error },
    );
  }
  for (const name of force ? [] : names) {
    const path = join(folder, name);
    if (await exists(path)) {
      throw new DgateError("OPTION", `${path}: exists already; give --force to overwrite it, or another -o.`);
    }
  }
  return () => removeEmpty(resolve(folder), made);
}

/** Removes empty folders from the given one up to the outermost that was made. */
async function removeEmpty(folder: string, outermost: string | undefined): Promise<void> {
  if (outermost === undefined) return;
  try {
    await rmdir(folder);
  } catch {
    // Something lies in it: it stays, and so do those around it.
    return;
  }
  if (folder !== resolve(outermost)) await removeEmpty(dirname(folder), outermost);
}

/** Whether something is at the path. */
export async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}

/** `ENOENT: no such file`, without the call and the path that Node appends. */
export function reasonOf(error: unknown): string {
  const message = error instanceof Error ? error.message : String(error);
  return message.split(", ")[0] ?? message;
}
