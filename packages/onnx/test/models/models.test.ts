import {
  constantOf,
  type Feed,
  numbersOf,
  openRunner,
  readNumbers,
  type RunTensor,
  sliceTensor,
  type Tensor,
  tensorOf,
  writeModel,
} from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import type { CacheOptions } from "./decoder.ts";
import { gpt2 } from "./gpt2.ts";
import { llama } from "./llama.ts";
import { transformerModels } from "./models.ts";
import { patterns } from "./patterns.ts";
import { referenceAttention } from "./reference-attention.ts";
import { opt } from "./small-decoders.ts";
import { t5Decoder } from "./t5.ts";
import { whisperDecoder } from "./whisper.ts";
import { feedsOf, type TransformerModel } from "./transformer-model.ts";

async function run(
  { graph }: TransformerModel,
  feeds: readonly Readonly<Record<string, Feed>>[],
): Promise<Record<string, RunTensor>[]> {
  const runner = await openRunner(writeModel(graph));
  const results: Record<string, RunTensor>[] = [];
  for (const feed of feeds) results.push(await runner.run(feed));
  await runner.dispose();
  return results;
}

const largest = (values: ArrayLike<number>): number =>
  Array.from(values).reduce((top, value) => Math.max(top, Math.abs(value)), 0);

function difference(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return largest(Array.from(a, (value, i) => value - b[i]!));
}

describe("attention layers", () => {
  test.each(patterns)("$id $name computes softmax(QKᵀ·scale + mask)·V", async ({ id, build }) => {
    const model = build();
    expect(model.attention.map(({ pattern }) => pattern)).toEqual([id]);
    for (const seed of [1, 2]) {
      const feeds = feedsOf(model, seed);
      const [{ output }] = (await run(model, [feeds])) as [Record<string, RunTensor>];
      const expected = referenceAttention(model, feeds);
      expect(largest(expected)).toBeGreaterThan(0.1);
      expect(difference(numbersOf(output!), expected)).toBeLessThan(1e-4);
    }
  });
});

describe("models", () => {
  test.each(transformerModels)(
    "$name runs, and each output is finite and depends on the inputs",
    async ({ build }) => {
      const model = build();
      const [a, b] = await run(model, [feedsOf(model, 1), feedsOf(model, 2)]);
      expect(Object.keys(a!)).toEqual(model.graph.outputs.map(({ name }) => name));
      const outputs = Object.entries(a!).map(([name, tensor]) => [name, numbersOf(tensor)] as const);
      expect(outputs.filter(([, numbers]) => !numbers.every(Number.isFinite))).toEqual([]);
      // Only the constants that stand for an encoder's caches have no elements.
      const full = outputs.filter(([name, { length }]) => length > 0 || !/^present\.\d+\.encoder/.test(name));
      const moved = full.map(([name, numbers]) => [name, difference(numbers, numbersOf(b![name]!)) > 1e-3]);
      expect(moved).toEqual(full.map(([name]) => [name, true]));
    },
  );
});

/** Decoders by cache mode: the same weights in every file. */
const decoders: readonly { name: string; build: (options: CacheOptions) => TransformerModel }[] = [
  { name: "GPT-2", build: (options) => gpt2(options) },
  { name: "Llama", build: (options) => llama(options) },
  { name: "OPT", build: (options) => opt(options) },
  { name: "T5", build: (options) => t5Decoder(options) },
  { name: "Whisper", build: (options) => whisperDecoder(options) },
];

const columnsOf = (x: Tensor): number => x.shape[1]!;

/** The feeds of the last `count` tokens behind a cache that an earlier run gave. */
function laterFeeds(
  model: TransformerModel,
  all: Readonly<Record<string, Tensor>>,
  first: Readonly<Record<string, RunTensor>>,
  count: number,
): Record<string, Feed> {
  return Object.fromEntries(
    model.inputs.map(({ name }) => {
      if (name.startsWith("past_key_values"))
        return [name, first[name.replace("past_key_values", "present")]!];
      if (name === "use_cache_branch") return [name, tensorOf("bool", [1], [1])];
      return [
        name,
        name === "input_ids"
          ? sliceTensor(all[name]!, 1, columnsOf(all[name]!) - count, columnsOf(all[name]!))
          : all[name]!,
      ];
    }),
  );
}

describe("decoders", () => {
  test.each(decoders)(
    "$name gives the same logits in one step and in two with a cache",
    async ({ build }) => {
      const none = build({});
      const all = feedsOf(none, 3, { sequence_length: 5, decoder_sequence_length: 5 });
      const [whole] = await run(none, [all]);
      const firstFeeds = Object.fromEntries(
        Object.entries(all).map(([name, x]) => [
          name,
          name === "input_ids" || name === "attention_mask" ? sliceTensor(x, 1, 0, 3) : x,
        ]),
      );
      const [first] = await run(build({ cache: "first" }), [firstFeeds]);
      for (const cache of ["past", "merged"] as const) {
        const model = build({ cache });
        const [later] = await run(model, [laterFeeds(model, all, first!, 2)]);
        const expected = sliceTensor(constantOf(whole!["logits"]!), 1, 3, 5);
        expect(difference(numbersOf(later!["logits"]!), readNumbers(expected))).toBeLessThan(1e-4);
      }
    },
  );
});
