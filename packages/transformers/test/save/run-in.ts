import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

/** What `run-folder.mjs` prints. */
export interface Printed {
  readonly logits: readonly number[];
  readonly labels: readonly string[];
  readonly generated: readonly string[];
}

/** The three versions of transformers.js, by what they are installed as. */
export const libraries = ["@huggingface/transformers", "transformers-v3", "@xenova/transformers"] as const;

/** What a version of transformers.js makes of a folder, in a process of its own. */
export async function runIn(
  module: string,
  folder: string,
  {
    task = "text-classification",
    dtype = "fp32",
    texts,
  }: { readonly task?: string; readonly dtype?: string; readonly texts: readonly string[] },
): Promise<Printed> {
  const script = fileURLToPath(new URL("run-folder.mjs", import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [
    script,
    module,
    folder,
    task,
    dtype,
    JSON.stringify(texts),
  ]);
  return JSON.parse(stdout.trim().split("\n").at(-1)!) as Printed; // the line that it prints
}
