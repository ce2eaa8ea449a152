import { existsSync, readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/** Folder of the shared data sets and models: DGATE_DATA, else ../shared/data beside the repository. */
export const dataFolder: string = resolve(process.env.DGATE_DATA ?? join(root, "../shared/data"));

/** Where Debian's libonnx-testdata puts the models of the ONNX backend test suite. */
export const backendTestFolder: string =
  process.env.DGATE_ONNX_TESTDATA ?? "/usr/lib/python3/dist-packages/onnx/backend/test/data";

/** All files below `folder` whose name ends in `.onnx`, sorted; none, with a printed line, if the folder is not there. */
export function onnxFiles(folder: string, remedy: string): string[] {
  if (!existsSync(folder)) {
    console.warn(`skipped: ${folder} is not there; ${remedy}`);
    return [];
  }
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith(".onnx"))
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
