import { readdir, stat } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { DgateError } from "@dgate/core";
import { exists, prepareOutputs } from "../io/files.ts";

/**
 * Makes sure, before any work is done, that a model folder can be written.
 *
 * @returns removes the folders that this made around it, as far as they are still empty: for work that failed
 * @throws DgateError `OPTION` for a folder that is there (without `force`, or if it holds no model) or is the model itself, `IO`
 */
export async function claimFolder(
  out: string,
  { model, force }: { readonly model: string; readonly force: boolean },
): Promise<() => Promise<void>> {
  if (resolve(out) === resolve(model)) {
    throw new DgateError(
      "OPTION",
      `learn: --out ${out} is the model itself; give the smaller model a folder of its own, --force or not.`,
    );
  }
  if (force && (await exists(out)) && !(await isModelFolder(out))) {
    throw new DgateError(
      "OPTION",
      `${out}: is no model folder (it has no config.json), so it is not replaced; give another -o.`,
    );
  }
  return prepareOutputs(dirname(resolve(out)), [basename(resolve(out))], force);
}

async function isModelFolder(path: string): Promise<boolean> {
  if (!(await stat(path)).isDirectory()) return false;
  return (await exists(join(path, "config.json"))) || (await readdir(path)).length === 0;
}
