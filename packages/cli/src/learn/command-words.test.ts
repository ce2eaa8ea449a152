import { DgateError } from "@dgate/core";
import { expect, test } from "vitest";
import { inCommandWords } from "./command-words.ts";

const told = (message: string, places: readonly string[] = []): string => {
  const error = inCommandWords(new DgateError("DATA", message), "learn m", places);
  expect(error).toMatchObject({ code: "DATA" });
  return (error as DgateError).message;
};

test("an example is named by its place in the file", () => {
  expect(
    told("learn: example 1 has no label; give { text, label }, or leave the objective out: x.", [
      "",
      "a.tsv: line 9",
    ]),
  ).toBe("learn m: a.tsv: line 9 has no label; give it one, or leave --objective out: x.");
  expect(told("learn: example 7 is odd.")).toBe("learn m: example 7 is odd.");
});

test("a held-out example is named by its place in its own file", () => {
  const error = new DgateError("DATA", "learn: held-out example 0 has no label.");
  expect(inCommandWords(error, "learn m", ["train.tsv: line 2"], ["test.tsv: line 5"])).toMatchObject({
    message: "learn m: test.tsv: line 5 has no label.",
  });
});

test("arguments of functions become options", () => {
  expect(told('learn: Ask for that, open with sites: ["heads", "ffn"], or lower { minimum }.')).toBe(
    "learn m: Ask for that, give --sites heads,ffn, or lower --minimum.",
  );
  expect(
    told(
      "openHeadGates: no transformers.js is installed; run npm install a (or, for version 2, b), or give the module: { transformers: await import(…) }.",
    ),
  ).toBe("learn m: no transformers.js is installed; run npm install a (or, for version 2, b).");
});

test("an error that is no DgateError stays as it is", () => {
  const error = new TypeError("x");
  expect(inCommandWords(error, "learn m")).toBe(error);
});
