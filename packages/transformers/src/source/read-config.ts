import { DgateError } from "@dgate/core";
import { join, type ModelFiles } from "./model-files.ts";

/**
 * A model's config.json.
 *
 * @param reader who looks for it, for the message: `transformers.js 4.3.1`
 * @throws DgateError `IO` naming all places that were tried, `FORMAT` for a file that is no JSON
 */
export async function readConfig(
  where: string,
  files: ModelFiles,
  reader: string,
): Promise<Readonly<Record<string, unknown>>> {
  const bytes = await files.read("config.json");
  if (!bytes) {
    const tried = files.places("config.json").join(", ");
    throw new DgateError(
      "IO",
      `${where}: "${files.name}" has no config.json; tried ${tried || "nothing: transformers.js may use neither local nor remote models"}. ` +
        `Give the path of a model folder or the id of a model that ${reader} can reach.`,
    );
  }
  try {
    const config: unknown = JSON.parse(new TextDecoder().decode(bytes));
    if (typeof config === "object" && config !== null) return config as Readonly<Record<string, unknown>>; // read by key, each checked
  } catch (cause) {
    throw new DgateError(
      "FORMAT",
      `${where}: ${join(files.name, "config.json")} is no JSON; download the model again.`,
      { cause },
    );
  }
  throw new DgateError(
    "FORMAT",
    `${where}: ${join(files.name, "config.json")} is no JSON object; download the model again.`,
  );
}
