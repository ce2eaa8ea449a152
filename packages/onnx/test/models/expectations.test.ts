import { fc } from "@dgate/testing";
import { type Graph, numbersOf, openRunner, type Tensor, tensorOf, writeModel } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { transformerModels } from "./models.ts";
import {
  attentionKinds,
  buildTransformer,
  transformer,
  type TransformerConfig,
} from "./random-transformer.ts";
import { type AttentionExpectation, feedsOf, type TransformerModel } from "./transformer-model.ts";
import { withZeroHeads } from "./zero-heads.ts";

/** The first output of one run: what follows are caches, which show keys and values that the output does not depend on. */
async function firstOutput(graph: Graph, feeds: Readonly<Record<string, Tensor>>): Promise<number[]> {
  const runner = await openRunner(writeModel(graph));
  const results = await runner.run(feeds);
  await runner.dispose();
  return Array.from(numbersOf(results[graph.outputs[0]!.name]!));
}

const difference = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((top, value, i) => Math.max(top, Math.abs(value - b[i]!)), 0);

/** Feeds of a first step: what an empty cache holds cannot tell of a head. */
function feedsWithoutPast(model: TransformerModel): Record<string, Tensor> {
  const feeds = feedsOf(model, 1, {
    past_sequence_length: 0,
    past_decoder_sequence_length: 0,
    past_seq_len: 0,
    attention_mask_sequence_length: model.dims["sequence_length"] ?? 0,
  });
  return feeds["use_cache_branch"] ? { ...feeds, use_cache_branch: tensorOf("bool", [1], [0]) } : feeds;
}

/**
 * A head whose values are zero and one whose output rows are zero give the same model, another than the given one; and so do a
 * head whose query is zero and one whose key is zero. Together they show that the expectation names the heads rightly.
 */
async function checkLayer(model: TransformerModel, layer: AttentionExpectation): Promise<void> {
  const { heads, kvHeads, value, key } = layer;
  if (!value || !key) return;
  const feeds = feedsWithoutPast(model);
  const shared = kvHeads - 1;
  const readers = Array.from({ length: heads }, (_, h) => h).filter(
    (h) => Math.floor((h * kvHeads) / heads) === shared,
  );
  const given = await firstOutput(model.graph, feeds);
  const without = (part: "query" | "key" | "value" | "output", which: readonly number[]) =>
    firstOutput(withZeroHeads(model, layer, part, which), feeds);
  const withoutValue = await without("value", [shared]);
  const withoutRows = await without("output", readers);
  const withoutKey = await without("key", [shared]);
  const withoutQuery = await without("query", readers);
  expect(difference(withoutValue, withoutRows)).toBeLessThan(2e-5);
  expect(difference(given, withoutRows)).toBeGreaterThan(1e-4);
  expect(difference(withoutKey, withoutQuery)).toBeLessThan(2e-5);
  expect(difference(given, withoutKey)).toBeGreaterThan(1e-6);
}

describe("what the models say of their heads is true", () => {
  test.each(transformerModels)("$name", async ({ build }) => {
    const model = build();
    expect(model.attention.length).toBeGreaterThan(0);
    await checkLayer(model, model.attention.at(-1)!);
  });
});

const plain: TransformerConfig = {
  seed: 1,
  attention: [],
  heads: 4,
  repeats: 2,
  headDim: 4,
  width: 12,
  hidden: 10,
  bias: true,
  mask: "extended",
  norm: "decomposed",
  order: "pre",
  feedForward: "gelu",
  constants: "nodes",
  shapes: "computed",
};

describe("random transformers", () => {
  test.each(attentionKinds)("%s says the truth of its heads", async (kind) => {
    const model = buildTransformer({ ...plain, attention: [kind] });
    expect(model.attention).toHaveLength(1);
    await checkLayer(model, model.attention[0]!);
  });

  test("any combination runs, is finite, and says the truth of its heads", async () => {
    await fc.assert(
      fc.asyncProperty(transformer(), async (config) => {
        const model = buildTransformer(config);
        const numbers = await firstOutput(model.graph, feedsOf(model, config.seed));
        expect(numbers.every(Number.isFinite)).toBe(true);
        await checkLayer(model, model.attention.at(-1)!);
      }),
      { numRuns: 12 },
    );
  }, 120_000);
});
