import { readdir, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { DgateError, randomGenerator } from "@dgate/core";
import type { Example } from "@dgate/transformers";
import { readWhole } from "../io/files.ts";
import { exampleOf, type Columns, tableColumns } from "./example-of.ts";
import { readers, type TextRecords } from "./records.ts";

/** Examples of a file or folder. */
export interface Examples {
  readonly examples: readonly Example[];
  /** Where each of them is: `train.tsv: line 12`, for messages. */
  readonly places: readonly string[];
  /** Lines without anything in them. */
  readonly empty: number;
}

/** Which of the examples are taken. */
export interface ExampleOptions extends Columns {
  /** At most so many, drawn by `seed`, in the order of the file. */
  readonly limit?: number | undefined;
  readonly seed: number;
}

const imageNames: readonly string[] = [".png", ".jpg", ".jpeg", ".webp"];

/** Larger files do not fit into a string of JavaScript. */
const mostBytes = 2 ** 29 - 25;

/**
 * Reads examples to learn from: a text file by its ending (jsonl, tsv, csv, txt), or a folder of images, whose subfolders are classes.
 *
 * @throws DgateError `IO`, `OPTION` for another ending, `FORMAT` and `DATA` with the line, `NO_MATCH` for a column that is not there
 */
export async function readExamples(path: string, options: ExampleOptions): Promise<Examples> {
  const found = await stat(path).catch(() => undefined);
  const all = found?.isDirectory()
    ? await readImages(path)
    : await readTexts(path, options, found?.size ?? 0);
  if (all.examples.length === 0) {
    const what = found?.isDirectory()
      ? `no image (${imageNames.join(", ")}) is in it`
      : all.empty > 0
        ? `all its ${all.empty} lines are empty`
        : "it has no examples";
    throw new DgateError("DATA", `${path}: ${what}; give texts to learn from, better 200 than 2.`);
  }
  return drawn(all, options);
}

async function readTexts(path: string, options: ExampleOptions, sizeBytes: number): Promise<Examples> {
  const ending = extname(path).slice(1).toLowerCase();
  const read = readers[ending];
  if (!read) {
    throw new DgateError(
      "OPTION",
      `--data ${path}: expected a name that ends in .${Object.keys(readers).join(", .")}, or a folder of images.`,
    );
  }
  if (sizeBytes > mostBytes) {
    throw new DgateError(
      "DATA",
      `${path}: has ${sizeBytes} bytes, more than ${mostBytes}; give a part of it.`,
    );
  }
  return examplesOf(read(await readText(path), path), path, options);
}

async function readText(path: string): Promise<string> {
  const bytes = await readWhole(path);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (cause) {
    throw new DgateError("FORMAT", `${path}: is not UTF-8; convert it, with iconv say.`, { cause });
  }
}

function examplesOf({ records, columns, ...rest }: TextRecords, path: string, options: Columns): Examples {
  const named = columns && records.length > 0 ? tableColumns(columns, path, options) : options;
  const places = records.map(({ line }) => `${path}: line ${line}`);
  const examples = records.map(({ value }, i) => exampleOf(value, places[i]!, named));
  return { examples, places, empty: rest.empty };
}

const isImage = (name: string): boolean => imageNames.includes(extname(name).toLowerCase());

/** Images of a folder; those of a subfolder belong to the class of its name. */
async function readImages(folder: string): Promise<Examples> {
  const entries = await readdir(folder, { withFileTypes: true });
  const examples: { readonly image: string; readonly label?: string }[] = [];
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isFile() && isImage(entry.name)) examples.push({ image: path });
    if (!entry.isDirectory()) continue;
    const names = (await readdir(path)).filter(isImage).toSorted();
    examples.push(...names.map((name) => ({ image: join(path, name), label: entry.name })));
  }
  return { examples, places: examples.map(({ image }) => image), empty: 0 };
}

/** At most `limit` examples, in their order. */
function drawn(all: Examples, { limit = Infinity, seed }: ExampleOptions): Examples {
  if (all.examples.length <= limit) return all;
  const random = randomGenerator(seed);
  const order = all.examples.map((_, i) => ({ i, key: random.next() }));
  const chosen = order
    .toSorted((a, b) => a.key - b.key)
    .slice(0, limit)
    .map(({ i }) => i)
    .toSorted((a, b) => a - b);
  return {
    ...all,
    examples: chosen.map((i) => all.examples[i]!),
    places: chosen.map((i) => all.places[i]!),
  };
}
