import { expect, test } from "vitest";
import { inTurns, median, quantile } from "./in-turns.ts";

const waiting = (ms: number) => (): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const cancelled = (): Promise<void> => Promise.reject(new Error("cancelled"));

test("every run has its turn in every round, first and last alike, after one that does not count", async () => {
  const order: string[] = [];
  const run = (name: string) => async (): Promise<void> => void order.push(name);
  const times = await inTurns([run("a"), run("b")], { budgetMs: 1e6, fewest: 1, most: 4 });
  expect(times.map(({ length }) => length)).toEqual([4, 4]);
  expect(order.join("")).toBe("ababbaabba");
});

test("rounds end when the time is spent, but not before there are enough", async () => {
  const [times] = await inTurns([waiting(5)], { budgetMs: 0, fewest: 3, most: 100 });
  expect(times).toHaveLength(3);
});

test("a step that throws ends them", async () => {
  await expect(
    inTurns([waiting(60)], { budgetMs: 1e6, fewest: 1, most: 9, step: cancelled }),
  ).rejects.toThrow("cancelled");
});

test("quantiles are values that were measured", () => {
  expect(median([5, 1, 9])).toBe(5);
  expect(quantile([3, 1, 2, 4], 0.98)).toBe(4);
});
