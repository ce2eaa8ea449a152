import { existsSync } from "node:fs";
import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { fakeModel, wordTokenizer } from "../../test/fake-model.ts";
import { openHeadGates } from "../open-head-gates.ts";
import { encodeExamples } from "./encode.ts";
import type { Example } from "./example.ts";

const config = { id2label: { 0: "bad", 1: "good" }, label2id: { bad: 0, good: 1 } };
const model = fakeModel({ tokenizer: wordTokenizer() }, config);
const encode = (examples: readonly Example[], options = {}) => encodeExamples(model, examples, options);

describe("texts", () => {
  test("every text becomes its tokens, in order, with its position in the list", async () => {
    const { examples, empty, truncated } = await encode(["a bb", { text: "ccc" }]);
    expect(examples.map(({ index, tokens }) => [index, tokens["input_ids"]])).toEqual([
      [0, [1, 11, 12, 2]],
      [1, [1, 13, 2]],
    ]);
    expect(examples[0]!.tokens).toMatchObject({ attention_mask: [1, 1, 1, 1], token_type_ids: [0, 0, 0, 0] });
    expect([empty, truncated]).toEqual([0, 0]);
  });

  test("the second text of a pair is a segment of its own", async () => {
    const pairs: Example[] = [["a", "bb"], { text: ["a", "bb"], label: 1 }];
    const { examples } = await encode(pairs);
    for (const { tokens } of examples) {
      expect(tokens).toMatchObject({ input_ids: [1, 11, 2, 12, 2], token_type_ids: [0, 0, 0, 1, 1] });
    }
    expect(examples.map(({ label }) => label)).toEqual([undefined, 1]);
  });

  test("empty texts are counted and left out; a pair with one text is not empty", async () => {
    const { examples, empty } = await encode(["", "a", " \n", { text: "" }, ["", ""], ["", "b"]]);
    expect(empty).toBe(4);
    expect(examples.map(({ index }) => index)).toEqual([1, 5]);
  });

  test("longer texts are cut as the tokenizer cuts, and counted", async () => {
    const { examples, truncated, maxLength } = await encode(["a a a a a a", "a a"], { maxLength: 4 });
    expect(examples.map(({ tokens }) => tokens["input_ids"])).toEqual([
      [1, 11, 11, 2],
      [1, 11, 11, 2],
    ]);
    expect([truncated, maxLength]).toEqual([1, 4]);
  });

  test("the longest text is what tokenizer and position table both allow", async () => {
    const long = ["a ".repeat(30)];
    const limited = async (tokenizer: number, positions: number): Promise<number> =>
      (
        await encodeExamples(
          fakeModel(
            { tokenizer: wordTokenizer({ model_max_length: tokenizer }) },
            { max_position_embeddings: positions },
          ),
          long,
        )
      ).maxLength;
    expect(await limited(20, 40)).toBe(20);
    expect(await limited(40, 20)).toBe(20);
    // Tokenizers without a limit say 1e30.
    expect(await limited(1e30, 64)).toBe(64);
    expect((await encode(long)).maxLength).toBe(512);
  });
});

describe("labels", () => {
  test("numbers and names of the config are classes", async () => {
    const { examples } = await encode([{ text: "a", label: 1 }, { text: "a", label: "bad" }, "a"]);
    expect(examples.map(({ label }) => label)).toEqual([1, 0, undefined]);
  });

  test.each([2, -1, 0.5, Number.NaN, "ugly", "constructor"])(
    "%j is refused, with the classes that there are",
    async (label) => {
      const found = encode(["a", { text: "a", label }]);
      await expect(found).rejects.toMatchObject({
        code: "DATA",
        message: expect.stringMatching(/example 1 .*bad \(0\), good \(1\)/),
      });
    },
  );

  test("the number of classes may be given where the config has none", async () => {
    const bare = fakeModel({ tokenizer: wordTokenizer() });
    const three = { classes: 3 };
    expect((await encodeExamples(bare, [{ text: "a", label: 2 }], three)).examples[0]!.label).toBe(2);
    await expect(encodeExamples(bare, [{ text: "a", label: 3 }], three)).rejects.toMatchObject({
      message: expect.stringContaining("(0 to 2)"),
    });
  });

  test("a name is refused where the config has none", async () => {
    const bare = fakeModel({ tokenizer: wordTokenizer() });
    await expect(encodeExamples(bare, [{ text: "a", label: "good" }])).rejects.toMatchObject({
      code: "DATA",
    });
  });
});

describe("what is no example", () => {
  test.each([[3], [null], [undefined], [{}], [["a", "b", "c"]], [["a", 1]], [{ text: 5 }], [[]]])(
    "%j is refused with its position",
    async (bad) => {
      const found = encode(["a", bad as unknown as Example]);
      await expect(found).rejects.toMatchObject({
        code: "DATA",
        message: expect.stringContaining("example 1 "),
      });
    },
  );

  test("data that is no list is refused", async () => {
    for (const data of ["a text", { text: "a" }, undefined])
      await expect(encode(data as unknown as Example[])).rejects.toMatchObject({ code: "DATA" });
  });

  test.each([[[]], [["", " "]]])("%j has no text at all", async (examples) => {
    await expect(encode(examples)).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringContaining(`none of ${examples.length}`),
    });
  });
});

describe("images", () => {
  const pixels = Float32Array.from({ length: 12 }, (_, i) => i);
  const processor = async (image: unknown) => {
    if (image === "broken") throw new Error("no image");
    return {
      pixel_values: { type: "float32", dims: [1, 3, 2, 2], data: pixels },
      original_sizes: { type: "int64", dims: [2], data: [2, 2] },
    };
  };

  test("the processor's features are kept without the batch axis", async () => {
    const { examples } = await encodeExamples(fakeModel({ processor }, config), [
      { image: "a.png", label: "good" },
    ]);
    expect(examples).toEqual([
      { index: 0, tokens: {}, features: { pixel_values: { data: pixels, shape: [3, 2, 2] } }, label: 1 },
    ]);
  });

  test("a path is read by the library before the processor sees it", async () => {
    const seen: unknown[] = [];
    const opened = {
      ...fakeModel({ processor: async (image) => (seen.push(image), processor(image)) }),
      readImage: async (source: string | URL) => ({ read: String(source) }),
    };
    await encodeExamples(opened, [{ image: "a.png" }, { image: { pixels: 1 } }]);
    expect(seen).toEqual([{ read: "a.png" }, { pixels: 1 }]);
  });

  test("an image that cannot be read is told by its position", async () => {
    const found = encodeExamples(fakeModel({ processor }), [{ image: "a.png" }, { image: "broken" }]);
    await expect(found).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringMatching(/example 1: .*no image/),
    });
  });

  test("a text for an image model and an image for a text model are refused", async () => {
    await expect(encodeExamples(fakeModel({ processor }), ["a"])).rejects.toMatchObject({ code: "OPTION" });
    await expect(encode([{ image: "a.png" }])).rejects.toMatchObject({ code: "OPTION" });
  });
});

const folder = join(dataFolder() ?? "", "models/bert-mini-sst2");

test.skipIf(!existsSync(folder))("the tokenizer of a real model: pairs, cuts and counts", async () => {
  const gates = await openHeadGates(folder);
  const long = "good ".repeat(99);
  const { examples, truncated, maxLength } = await encodeExamples(gates.internals.model, [
    "good film",
    ["good", "film"],
    long,
  ]);
  const ids = examples.map(({ tokens }) => tokens["input_ids"]!);
  expect(ids[0]).toEqual([101, 2204, 2143, 102]);
  expect(ids[1]).toEqual([101, 2204, 102, 2143, 102]);
  expect(examples[1]!.tokens["token_type_ids"]).toEqual([0, 0, 0, 1, 1]);
  // The position table has 64 rows.
  expect([maxLength, truncated, ids[2]!.length]).toEqual([64, 1, 64]);
  const own = await gates.pipeline.tokenizer!([long], { truncation: true, max_length: 64 });
  expect(ids[2]).toEqual(Array.from(own["input_ids"]!.data as BigInt64Array, Number));
  await gates.dispose();
});
