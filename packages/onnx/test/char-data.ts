import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type RandomGenerator, randomGenerator } from "@dgate/core";
import type { Batch } from "@dgate/onnx/train";
import { dataFolder } from "./files.ts";

/** The text of the character models, in the shared data folder. */
export const shakespeareFile: string = join(dataFolder, "text/tinyshakespeare.txt");

/** A text as numbers, one a character. */
export interface CharData {
  /** The characters that occur, sorted; a token is an index into them. */
  readonly vocabulary: readonly string[];
  /** The first nine tenths of the text. */
  readonly train: Uint16Array;
  /** The rest. */
  readonly validation: Uint16Array;
}

/** Reads a text; undefined, with a printed line, if the file is not there. */
export function readCharData(path: string = shakespeareFile): CharData | undefined {
  if (!existsSync(path)) {
    console.warn(`skipped: ${path} is not there; set DGATE_DATA`);
    return undefined;
  }
  return charData(readFileSync(path, "utf8"));
}

/** Splits a text 90 to 10. */
export function charData(text: string): CharData {
  const vocabulary = [...new Set(text)].sort();
  const numbers = new Map(vocabulary.map((character, i) => [character, i]));
  const tokens = Uint16Array.from(text, (character) => numbers.get(character)!);
  const border = Math.floor(0.9 * tokens.length);
  return { vocabulary, train: tokens.subarray(0, border), validation: tokens.subarray(border) };
}

/** Sizes of a batch. */
export interface CharBatchSizes {
  /** Windows of text. */
  readonly batch: number;
  /** Characters of each. */
  readonly context: number;
}

/** Windows from given places: `input_ids` `[batch, context]`, and `labels`, one character on. */
export function charBatch(text: Uint16Array, starts: readonly number[], context: number): Batch {
  const shape = [starts.length, context];
  const cut = (shift: number): number[] =>
    starts.flatMap((start) => [...text.subarray(start + shift, start + shift + context)]);
  return { input_ids: { data: cut(0), shape }, labels: { data: cut(1), shape } };
}

/** Endless random windows; the same seed gives the same ones. */
export function* randomCharBatches(
  text: Uint16Array,
  { batch, context }: CharBatchSizes,
  seed: number | RandomGenerator,
): Generator<Batch> {
  const random = typeof seed === "number" ? randomGenerator(seed) : seed;
  for (;;) {
    const starts = Array.from({ length: batch }, () => random.integer(text.length - context));
    yield charBatch(text, starts, context);
  }
}

/** A number of windows, spread evenly over a text, in batches: the same ones every time. */
export function fixedCharBatches(
  text: Uint16Array,
  { batch, context }: CharBatchSizes,
  windows: number,
): Batch[] {
  const step = (text.length - context - 1) / Math.max(1, windows - 1);
  const starts = Array.from({ length: windows }, (_, i) => Math.floor(i * step));
  return Array.from({ length: Math.ceil(windows / batch) }, (_, i) =>
    charBatch(text, starts.slice(i * batch, (i + 1) * batch), context),
  );
}
