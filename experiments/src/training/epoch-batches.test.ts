import { expect, test } from "vitest";
import { epochBatches } from "./epoch-batches.ts";

const rowsOf = (seed: number, from: number, count: number): number[][] => {
  const batches = epochBatches(10, 3, (rows) => ({ rows: { data: [...rows], shape: [rows.length] } }))(seed)(
    from,
  );
  return Array.from({ length: count }, () => [...(batches.next().value!["rows"] as { data: number[] }).data]);
};

test("an epoch has no row twice, and each has its own order", () => {
  const [first, second] = [rowsOf(1, 0, 3).flat(), rowsOf(1, 3, 3).flat()];
  expect(new Set(first).size).toBe(9);
  expect(new Set(second).size).toBe(9);
  expect(first).not.toEqual(second);
  expect(rowsOf(2, 0, 3).flat()).not.toEqual(first);
});

test("training that goes on has the batches that it would have had", () => {
  expect(rowsOf(1, 4, 5)).toEqual(rowsOf(1, 0, 9).slice(4));
});
