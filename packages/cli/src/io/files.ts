import { randomUUID } from "node:crypto";
import { access, constants, mkdir, open, readFile, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
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
 * @throws DgateError `IO` for an unwritable folder, `OPTION` for an existing file without `force`
 */
export async function prepareOutputs(
  folder: string,
  names: readonly string[],
  force: boolean,
): Promise<void> {
  try {
    await mkdir(folder, { recursive: true });
    await access(folder, constants.W_OK);
  } catch (error) {
    throw new DgateError(
      "IO",
      `${folder}: cannot be written (${reasonOf(error)}); choose another folder with -o.`,
      { cause: error },
    );
  }
  if (force) return;
  for (const name of names) {
    const path = join(folder, name);
    if (await exists(path)) {
      throw new DgateError("OPTION", `${path}: exists already; give --force to overwrite it, or another -o.`);
    }
  }
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
