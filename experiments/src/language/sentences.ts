import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Batch } from "@dgate/onnx/train";
import { AutoTokenizer } from "@huggingface/transformers";
import { requiredDataFolder } from "../training/required-data.ts";

/** Files of the data folder. */
export const sentenceFiles = {
  train: "sst2/train.tsv",
  dev: "sst2/glue-dev.tsv",
  model: "models/bert-mini-sst2/onnx/model.onnx",
  tokenizer: "models/bert-mini-sst2/tokenizer.json",
} as const;

/** A sentence and its class. */
export interface Sentence {
  readonly text: string;
  readonly label: number;
}

/** Sentences of SST-2 from a file of it. */
export function readSentences(file: string): readonly Sentence[] {
  const lines = readFileSync(join(requiredDataFolder(), file), "utf8").trim().split("\n").slice(1);
  return lines.map((line) => {
    const [text, label] = line.split("\t");
    return { text: text!.trim(), label: Number(label) };
  });
}

/** Sentences as a batch: `input_ids`, `attention_mask`, `token_type_ids` `[batch, positions]`, and `labels`. */
export type ToBatch = (sentences: readonly Sentence[]) => Batch;

/** The tokeniser of a model's folder, as the real transformers.js reads it; longer sentences are cut off. */
export async function openTokenizer(folder: string, maxLength: number): Promise<ToBatch> {
  const tokenizer = await AutoTokenizer.from_pretrained(folder, { local_files_only: true });
  return (sentences) => {
    const encoded = tokenizer(
      sentences.map(({ text }) => text),
      { padding: true, truncation: true, max_length: maxLength },
    ) as Record<string, { readonly data: BigInt64Array; readonly dims: readonly number[] }>; // untyped there
    const inputs = Object.entries(encoded).map(([name, { data, dims }]) => [name, { data, shape: dims }]);
    return {
      ...Object.fromEntries(inputs),
      labels: { data: sentences.map(({ label }) => label), shape: [sentences.length] },
    };
  };
}
