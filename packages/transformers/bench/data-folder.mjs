import { existsSync } from "node:fs";
import { join } from "node:path";

/** Models and texts of the benchmarks: DGATE_DATA, else ../shared/data beside the repository; says so if they are not there. */
export function dataFolder() {
  const folder = process.env.DGATE_DATA ?? join(import.meta.dirname, "../../../../shared/data");
  if (existsSync(folder)) return folder;
  console.error(`skipped: ${folder} is not there (set DGATE_DATA).`);
  return undefined;
}
