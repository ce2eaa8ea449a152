import { existsSync } from "node:fs";
import { join } from "node:path";

let said = false;

/**
 * The folder of real data that some tests use: `DGATE_DATA`, else `../shared/data` beside the repository.
 *
 * @returns its path, or `undefined` (said once on stderr) if it is not there: such tests are then skipped
 */
export function dataFolder(): string | undefined {
  const folder = process.env["DGATE_DATA"] ?? join(import.meta.dirname, "../../../../shared/data");
  if (existsSync(folder)) return folder;
  if (!said)
    console.warn(`No real data: ${folder} is not there (set DGATE_DATA); tests that need it are skipped.`);
  said = true;
  return undefined;
}
