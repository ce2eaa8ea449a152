import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { opinionOf, opinions } from "./small-texts.ts";

describe("sentences by rules", () => {
  test("the classes are balanced and a seed tells all", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 60 }), fc.integer({ min: 0, max: 1000 }), (count, seed) => {
        const found = opinions(count, seed);
        expect(found).toHaveLength(count);
        expect(found.filter(({ label }) => label === 1)).toHaveLength(Math.ceil(count / 2));
        expect(opinions(count, seed)).toEqual(found);
      }),
    );
    expect(opinions(20, 1)).not.toEqual(opinions(20, 2));
  });

  test("the class is read back from the text alone", () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 10_000 }), (seed) => {
        for (const { text, label } of opinions(20, seed)) expect(opinionOf(text)).toBe(label);
      }),
    );
  });

  test.each([
    ["the plot is not bad , but the ending was dull .", 0],
    ["The plot is not bad, although its ending was dull.", 1],
    ["although the film is great , the cast is never good .", 0],
    ["a sentence of other words .", undefined],
    ["the film is great", undefined],
    ["", undefined],
  ])("%j", (text, label) => {
    expect(opinionOf(text)).toBe(label);
  });

  test("no word alone tells the class", () => {
    const found = opinions(4000, 1);
    const words = new Set(found.flatMap(({ text }) => text.split(" ")));
    for (const word of words) {
      const having = found.filter(({ text }) => text.split(" ").includes(word));
      const positive = having.filter(({ label }) => label === 1).length / having.length;
      expect(Math.abs(positive - 0.5)).toBeLessThan(0.2);
    }
  });
});
