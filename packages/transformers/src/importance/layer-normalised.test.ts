import { expect, test } from "vitest";
import { layerNormalised } from "./layer-normalised.ts";

test("the scores of a layer get the norm 1 and keep their ratios", () => {
  const scores = layerNormalised(new Map([["a", Float64Array.of(3, 4)]]));
  expect([...scores.get("a")!]).toEqual([0.6, 0.8]);
});

test("a layer of one group and one of zeros stay as they are", () => {
  const scores = layerNormalised(
    new Map([
      ["branch", Float64Array.of(7)],
      ["zero", Float64Array.of(0, 0)],
    ]),
  );
  expect([...scores.values()].map((values) => [...values])).toEqual([[7], [0, 0]]);
});
