import { existsSync } from "node:fs";
import { join } from "node:path";
import { DgateError } from "@dgate/core";
import { dataFolder } from "@dgate/testing/data-folder";

/**
 * The folder of real data.
 *
 * @throws DgateError `IO` if it is not there
 */
export function requiredDataFolder(): string {
  const folder = dataFolder();
  if (folder !== undefined) return folder;
  throw new DgateError("IO", "there is no folder with data; set DGATE_DATA to one.");
}

/** The first file that is not there. */
export function missingData(files: readonly string[]): string | undefined {
  const folder = files.length > 0 ? dataFolder() : "";
  return files.find((file) => folder === undefined || !existsSync(join(folder, file)));
}
