import { expect, test } from "vitest";
import { randomScores } from "./random.ts";

const blocks = [
  { name: "a", groups: 4 },
  { name: "b", groups: 3 },
];

test("the same seed gives the same scores, another seed others", () => {
  expect(randomScores(blocks, 3)).toEqual(randomScores(blocks, 3));
  expect(randomScores(blocks, 3)).not.toEqual(randomScores(blocks, 4));
});

test("every group has a number of its own from 0 to 1", () => {
  const numbers = [...randomScores(blocks, 1).values()].flatMap((values) => [...values]);
  expect(numbers.length).toBe(7);
  expect(new Set(numbers).size).toBe(7);
  expect(numbers.every((x) => x >= 0 && x < 1)).toBe(true);
});
