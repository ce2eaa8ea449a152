import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const names = ["@huggingface/transformers", "@xenova/transformers"] as const;

/**
 * The transformers.js of the folder that the command is called in, where none is installed beside the command (a `dgate` that is installed globally,
 * or by npx). `undefined` where @dgate/transformers finds one itself, and where there is none.
 */
export async function userTransformers(): Promise<unknown> {
  if (names.some((name) => pathFrom(import.meta.url, name) !== undefined)) return undefined;
  const here = pathToFileURL(join(process.cwd(), "package.json")).href;
  const path = names.map((name) => pathFrom(here, name)).find((found) => found !== undefined);
  return path === undefined ? undefined : ((await import(pathToFileURL(path).href)) as unknown);
}

function pathFrom(url: string, name: string): string | undefined {
  try {
    return createRequire(url).resolve(name);
  } catch {
    return undefined;
  }
}
