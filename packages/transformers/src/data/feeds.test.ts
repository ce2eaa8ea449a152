import { type Graph, tensorOf } from "@dgate/onnx";
import { fc } from "@dgate/testing";
import { randomGenerator } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { graphWithInputs } from "../../test/fake-model.ts";
import type { EncodedExample } from "./encode.ts";
import { checkVocabulary, feedsFor, inBatches } from "./feeds.ts";

const example = (
  index: number,
  ids: readonly number[],
  more: Readonly<Record<string, readonly number[]>> = {},
): EncodedExample => ({
  index,
  tokens: { input_ids: ids, ...more },
  features: {},
  label: undefined,
});

const tokens = { dtype: "int64", shape: ["batch", "tokens"] } as const;
const ones = (length: number): number[] => Array.from({ length }, () => 1);

/** An image of `rows` × 2 numbers. */
const image = (index: number, numbers: readonly number[], shape: readonly number[]): EncodedExample => ({
  index,
  tokens: {},
  features: { pixel_values: { data: Float32Array.from(numbers), shape } },
  label: undefined,
});

/** A model that looks tokens up in a table of ten rows. */
function lookup(): Graph {
  const model = graphWithInputs({ input_ids: tokens });
  const table = model.addInitializer("table", tensorOf("float32", [10, 2], new Float32Array(20)));
  model.addOutput(model.addNode({ op: "Gather", inputs: [table, model.value("input_ids")!] }).outputs[0]!);
  return model;
}

const numbersOf = (feed: unknown): number[] =>
  Array.from((feed as { data: ArrayLike<number | bigint> }).data, Number);

describe("feeds", () => {
  test("shorter examples are padded on the right, their mask is 0 there", () => {
    const graph = graphWithInputs({ input_ids: tokens, attention_mask: tokens });
    const batch = [
      example(0, [5, 6, 7], { attention_mask: [1, 1, 1] }),
      example(1, [8], { attention_mask: [1] }),
    ];
    const { feeds, length } = feedsFor(graph, batch, 9);
    expect(length).toBe(3);
    expect(feeds["input_ids"]).toEqual({
      dtype: "int64",
      shape: [2, 3],
      data: BigInt64Array.of(5n, 6n, 7n, 8n, 9n, 9n),
    });
    expect(numbersOf(feeds["attention_mask"])).toEqual([1, 1, 1, 1, 0, 0]);
  });

  test("what a tokenizer leaves out is made: mask, segments, positions", () => {
    const graph = graphWithInputs({
      input_ids: tokens,
      attention_mask: tokens,
      token_type_ids: tokens,
      position_ids: tokens,
    });
    const { feeds } = feedsFor(graph, [example(0, [5, 6]), example(1, [7])]);
    expect(numbersOf(feeds["attention_mask"])).toEqual([1, 1, 1, 0]);
    expect(numbersOf(feeds["token_type_ids"])).toEqual([0, 0, 0, 0]);
    expect(numbersOf(feeds["position_ids"])).toEqual([0, 1, 0, 1]);
  });

  test("what a model does not take is not fed", () => {
    const graph = graphWithInputs({ input_ids: tokens });
    const { feeds } = feedsFor(graph, [example(0, [5], { attention_mask: [1], token_type_ids: [0] })]);
    expect(Object.keys(feeds)).toEqual(["input_ids"]);
  });

  test("int32 inputs get int32", () => {
    const graph = graphWithInputs({ input_ids: { dtype: "int32", shape: ["batch", "tokens"] } });
    expect(feedsFor(graph, [example(0, [5, 6])]).feeds["input_ids"]).toEqual({
      dtype: "int32",
      shape: [1, 2],
      data: Int32Array.of(5, 6),
    });
  });

  test("caches are empty: no position, the model's heads and dims, a row for each example", () => {
    const graph = graphWithInputs({
      input_ids: tokens,
      "past_key_values.0.key": { dtype: "float32", shape: ["batch_size", 4, "past_sequence_length", 8] },
      "past.1.value": { dtype: "float32", shape: ["n", 4, "m", 8] },
      // GPT-2 of onnxruntime: keys and values stacked in front.
      past_0: { dtype: "float32", shape: [2, "batch_size", 4, "past_seq_len", 8] },
      use_cache_branch: { dtype: "bool", shape: [1] },
    });
    const { feeds } = feedsFor(graph, [example(0, [5]), example(1, [6]), example(2, [7])]);
    const empty = new Float32Array(0);
    expect(feeds["past_key_values.0.key"]).toEqual({ dtype: "float32", shape: [3, 4, 0, 8], data: empty });
    expect(feeds["past.1.value"]).toEqual({ dtype: "float32", shape: [3, 4, 0, 8], data: empty });
    expect(feeds["past_0"]).toEqual({ dtype: "float32", shape: [2, 3, 4, 0, 8], data: empty });
    expect(feeds["use_cache_branch"]).toEqual({ dtype: "bool", shape: [1], data: [0] });
  });

  test("half-precision caches have no type of their own", () => {
    const graph = graphWithInputs({
      input_ids: tokens,
      "past_key_values.0.key": { dtype: "float16", shape: ["batch_size", 4, "past_sequence_length", 8] },
    });
    // Without a type a runner takes the input's own: float16 of the file, float32 of its training form.
    expect(feedsFor(graph, [example(0, [5])]).feeds["past_key_values.0.key"]).toEqual({
      shape: [1, 4, 0, 8],
      data: [],
    });
  });

  test("a cache of unknown shape is refused", () => {
    const graph = graphWithInputs({ input_ids: tokens, "past_key_values.0.key": { dtype: "float32" } });
    expect(() => feedsFor(graph, [example(0, [5])])).toThrow(
      expect.objectContaining({ code: "UNSUPPORTED" }),
    );
  });

  test("features are stacked", () => {
    const graph = graphWithInputs({ pixel_values: { dtype: "float32", shape: ["batch", 1, 2] } });
    expect(feedsFor(graph, [image(0, [1, 2], [1, 2]), image(1, [3, 4], [1, 2])]).feeds).toEqual({
      pixel_values: { dtype: "float32", shape: [2, 1, 2], data: Float32Array.of(1, 2, 3, 4) },
    });
  });

  test("features of different shapes in one batch are refused", () => {
    const graph = graphWithInputs({ pixel_values: { dtype: "float32", shape: ["batch", "h", 2] } });
    expect(() => feedsFor(graph, [image(0, [1, 2], [1, 2]), image(4, [1, 2, 3, 4], [2, 2])])).toThrow(
      expect.objectContaining({ code: "SHAPE", message: expect.stringContaining("example 4") }),
    );
  });

  test("an input that nothing gives is refused by its name", () => {
    const graph = graphWithInputs({ input_ids: tokens, bbox: tokens });
    expect(() => feedsFor(graph, [example(0, [5])])).toThrow(
      expect.objectContaining({ code: "UNSUPPORTED", message: expect.stringContaining('"bbox"') }),
    );
  });
});

describe("batches", () => {
  test("every example is in exactly one batch, none is larger than asked for", () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(
        lengths,
        fc.integer({ min: 1, max: 9 }),
        fc.option(fc.integer(), { nil: undefined }),
        (all, size, seed) => {
          const examples = all.map((length, index) => example(index, ones(length)));
          const random = seed === undefined ? undefined : randomGenerator(seed);
          const batches = inBatches(examples, size, random && (() => random.next()));
          expect(batches.every((batch) => batch.length >= 1 && batch.length <= size)).toBe(true);
          expect(
            batches
              .flat()
              .map(({ index }) => index)
              .sort((a, b) => a - b),
          ).toEqual(examples.map(({ index }) => index));
        },
      ),
    );
  });

  test("examples of like lengths come together", () => {
    const examples = [9, 1, 8, 2, 9, 1].map((length, index) => example(index, ones(length)));
    const lengths = inBatches(examples, 2).map((batch) =>
      batch.map(({ tokens: { input_ids: ids } }) => ids!.length),
    );
    expect(lengths).toEqual([
      [1, 1],
      [2, 8],
      [9, 9],
    ]);
  });

  test("the same random numbers give the same batches", () => {
    const examples = Array.from({ length: 50 }, (_, index) => example(index, ones(1 + (index % 7))));
    const of = (seed: number) => {
      const random = randomGenerator(seed);
      return inBatches(examples, 4, () => random.next()).map((batch) => batch.map(({ index }) => index));
    };
    expect(of(1)).toEqual(of(1));
    expect(of(1)).not.toEqual(of(2));
  });
});

describe("vocabulary", () => {
  test("tokens of the table are fine", () => {
    expect(() => checkVocabulary(lookup(), [example(0, [0, 9])])).not.toThrow();
  });

  test.each([10, 30521, -1])("token %i is of another model's tokenizer", (id) => {
    expect(() => checkVocabulary(lookup(), [example(0, [1]), example(7, [2, id])])).toThrow(
      expect.objectContaining({
        code: "CHECK",
        message: expect.stringMatching(`token ${id} for example 7.*10 \\(0 to 9\\)`),
      }),
    );
  });

  test("behind a cast the table is found all the same", () => {
    const model = graphWithInputs({ input_ids: tokens });
    const table = model.addInitializer("table", tensorOf("float32", [10, 2], new Float32Array(20)));
    const cast = model.addNode({ op: "Cast", inputs: [model.value("input_ids")!], attributes: {} })
      .outputs[0]!;
    model.addOutput(model.addNode({ op: "Gather", inputs: [table, cast] }).outputs[0]!);
    expect(() => checkVocabulary(model, [example(0, [10])])).toThrow(
      expect.objectContaining({ code: "CHECK" }),
    );
  });

  test("a model without a table is not judged", () => {
    expect(() =>
      checkVocabulary(graphWithInputs({ input_ids: tokens }), [example(0, [99999])]),
    ).not.toThrow();
  });
});
