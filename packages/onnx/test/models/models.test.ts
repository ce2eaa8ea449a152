import { type Feed, numbersOf, openRunner, type RunTensor, writeModel } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { bert } from "./bert.ts";
import { patterns } from "./patterns.ts";
import { referenceAttention } from "./reference-attention.ts";
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
  test.each(patterns)("$id $name computes softmax(QKᵀ·scale + mask)·V", async ({ build }) => {
    const model = build();
    for (const seed of [1, 2]) {
      const feeds = feedsOf(model, seed);
      const [{ output }] = (await run(model, [feeds])) as [Record<string, RunTensor>];
      const expected = referenceAttention(model, feeds);
      expect(largest(expected)).toBeGreaterThan(0.1);
      expect(difference(numbersOf(output!), expected)).toBeLessThan(1e-4);
    }
  });
});

const models: readonly { name: string; build: () => TransformerModel }[] = [
  { name: "BERT", build: () => bert() },
  {
    name: "BERT for classification, LayerNormalization",
    build: () => bert({ norm: "op", head: "classifier" }),
  },
];

describe("models", () => {
  test.each(models)("$name runs, and each output is finite and depends on the inputs", async ({ build }) => {
    const model = build();
    const [a, b] = await run(model, [feedsOf(model, 1), feedsOf(model, 2)]);
    expect(Object.keys(a!)).toEqual(model.graph.outputs.map(({ name }) => name));
    const outputs = Object.entries(a!).map(([name, tensor]) => [name, numbersOf(tensor)] as const);
    expect(outputs.filter(([, numbers]) => !numbers.every(Number.isFinite))).toEqual([]);
    const moved = outputs.map(([name, numbers]) => [name, difference(numbers, numbersOf(b![name]!)) > 1e-3]);
    expect(moved).toEqual(outputs.map(([name]) => [name, true]));
  });
});
