import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readModel, writeModel } from "@dgate/onnx";
import { dataFolder } from "@dgate/testing";
import { onTestFinished } from "vitest";
import type { HeadGates } from "../../src/head-gates.ts";
import { openHeadGates } from "../../src/open-head-gates.ts";
import type { PrunedTransformer } from "../../src/prune/pruned-transformer.ts";
import type { LibraryModel } from "../../src/library/library.ts";
import { mergedDecoder } from "./merged-decoder.ts";

const data = dataFolder();

/** A trained Llama with 5 layers of 8 query and 4 key–value heads; `undefined` where the data is not there. */
export const stories: string | undefined = data && join(data, "models/tinyllamas/stories260K");

/** The same model in a folder of the test, its decoder merged from both steps as optimum does. */
export function mergedStories(): string {
  const folder = temporaryFolder();
  copyJson(stories!, folder);
  const decoder = readModel(readFileSync(join(stories!, "onnx/model.onnx")));
  writeFileSync(join(folder, "onnx/decoder_model_merged.onnx"), writeModel(mergedDecoder(decoder)));
  return folder;
}

/** A folder with a subfolder `onnx` that the test removes. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "dgate-decoder-"));
  mkdirSync(join(folder, "onnx"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

/** How tokens are generated. */
export interface Writing {
  readonly prompt: string;
  readonly count: number;
  /** More settings of `generate`. */
  readonly settings?: Readonly<Record<string, unknown>>;
}

const story: Writing = { prompt: "Once upon a time, there was a little", count: 64 };

/** Tokens that the gates' pipeline writes after a prompt, the likeliest at each step. */
export async function greedy(
  gates: HeadGates,
  { prompt, count, settings: more }: Writing = story,
): Promise<number[]> {
  const { model, tokenizer } = gates.pipeline;
  const encoding = await tokenizer!([prompt]);
  const settings = { max_new_tokens: count, min_new_tokens: count, do_sample: false, ...more };
  const { major } = gates.internals.library;
  const output = await generate(
    model,
    major === 2 ? [encoding["input_ids"], settings] : [{ ...encoding, ...settings }],
  );
  const [tokens] = "tolist" in output ? output.tolist() : output;
  return [...tokens!].map(Number);
}

type Tokens = readonly (readonly (number | bigint)[])[];

const generate = (model: LibraryModel, inputs: readonly unknown[]): Promise<Tokens | { tolist(): Tokens }> =>
  model.generate!(...inputs) as Promise<Tokens | { tolist(): Tokens }>; // token lists in version 2, a tensor later

/** What a model writes dense, with gates at zero, with those heads removed (in its place, and opened from a folder), and after all. */
export async function writings(
  gates: HeadGates,
  off: readonly (readonly [layer: number, head: number])[],
  writing: Writing = story,
) {
  const dense = await greedy(gates, writing);
  for (const [layer, head] of off) gates.set(layer, head, 0);
  const detach = await gates.attach();
  const masked = await greedy(gates, writing);
  await detach();
  const small = await gates.prune();
  const restore = await small.attach();
  const pruned = await greedy(gates, writing);
  await restore();
  const after = await greedy(gates, writing);
  const reopened = await openHeadGates(writtenFolder(small), {
    transformers: gates.internals.library.module,
  });
  return { small, dense, masked, pruned, after, opened: await greedy(reopened, writing) };
}

/** A pruned model in a folder of the test: what of the dense model is no graph, the pruned config, and the graphs. */
function writtenFolder(small: PrunedTransformer): string {
  const folder = temporaryFolder();
  copyJson(small.gates.internals.model.files.name, folder);
  writeFileSync(join(folder, "config.json"), JSON.stringify(small.config));
  for (const { part, graph } of small.files) {
    writeFileSync(join(folder, "onnx", `${part.file}.onnx`), writeModel(graph));
  }
  return folder;
}

function copyJson(from: string, to: string): void {
  for (const name of readdirSync(from)) {
    if (name.endsWith(".json")) copyFileSync(join(from, name), join(to, name));
  }
}
