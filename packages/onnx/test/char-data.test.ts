import { expect, test } from "vitest";
import { charBatch, charData, fixedCharBatches, randomCharBatches } from "./char-data.ts";

const data = charData("to be, or not to be: that is the question".repeat(5));

test("a text is split 90 to 10 and says the same in numbers", () => {
  const { vocabulary, train, validation } = data;
  expect(vocabulary.join("")).toBe(" ,:abehinoqrstu");
  expect([train.length, validation.length]).toEqual([184, 21]);
  expect(Array.from(train.subarray(0, 9), (token) => vocabulary[token]).join("")).toBe("to be, or");
});

test("labels are the inputs one character on", () => {
  const { input_ids: ids, labels } = charBatch(data.train, [0, 7], 5);
  expect(ids).toEqual({
    data: [...data.train.subarray(0, 5), ...data.train.subarray(7, 12)],
    shape: [2, 5],
  });
  expect(labels).toEqual({
    data: [...data.train.subarray(1, 6), ...data.train.subarray(8, 13)],
    shape: [2, 5],
  });
});

test("random batches follow from their seed, and fixed ones cover the text to its end", () => {
  const sizes = { batch: 3, context: 8 };
  const draw = (seed: number) => randomCharBatches(data.train, sizes, seed).next().value;
  expect(draw(1)).toEqual(draw(1));
  expect(draw(1)).not.toEqual(draw(2));
  const batches = fixedCharBatches(data.validation, sizes, 4);
  expect(batches[0]!["input_ids"]).toMatchObject({ shape: [3, 8] });
  expect(batches[1]!["labels"]).toEqual({ data: [...data.validation.subarray(13)], shape: [1, 8] });
});
