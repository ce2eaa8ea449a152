import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { argmax, nextTokenLoss, rankCorrelation, rowDivergence, rowsOf, similarities } from "./measures.ts";

const row = (...values: number[]): Float32Array => Float32Array.from(values);
const example = (index: number, ids: readonly number[]) => ({
  index,
  tokens: { input_ids: ids },
  features: {},
  label: undefined,
});

test("the divergence of two distributions is that of the textbook", () => {
  // p = (1/2, 1/2), q = (1/4, 3/4): ½·ln 2 + ½·ln(2/3)
  const found = rowDivergence(row(0, 0), row(Math.log(1), Math.log(3)));
  expect(found).toBeCloseTo(0.5 * Math.log(2) + 0.5 * Math.log(2 / 3), 6);
  expect(rowDivergence(row(3, -1, 2), row(13, 9, 12))).toBeCloseTo(0, 6);
});

test("Spearman's correlation is that of a published example", () => {
  // IQ and hours of television: ρ = −29/165.
  const iq = [106, 100, 86, 101, 99, 103, 97, 113, 112, 110];
  const hours = [7, 27, 2, 50, 28, 29, 20, 12, 6, 17];
  expect(rankCorrelation(iq, hours)).toBeCloseTo(-29 / 165, 10);
});

test("Spearman's correlation sees the order alone, and ties share their rank", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: -50, max: 50 }), { minLength: 2, maxLength: 30 }), (values) => {
      fc.pre(new Set(values).size > 1);
      expect(
        rankCorrelation(
          values,
          values.map((x) => Math.exp(x / 20)),
        ),
      ).toBeCloseTo(1, 10);
      expect(
        rankCorrelation(
          values,
          values.map((x) => -x),
        ),
      ).toBeCloseTo(-1, 10);
    }),
  );
  expect(rankCorrelation([1, 1, 2], [1, 2, 3])).toBeCloseTo(Math.sqrt(3) / 2, 10);
});

test("rows of padding are left out", () => {
  const examples = [example(0, [5, 6]), example(1, [7, 8, 9])];
  const values = Float32Array.from({ length: 2 * 3 * 2 }, (_, i) => i);
  const rows = rowsOf(values, { feeds: {}, examples, length: 3 }, { perToken: true });
  expect(rows.map((each) => [...each])).toEqual([
    [0, 1],
    [2, 3],
    [6, 7],
    [8, 9],
    [10, 11],
  ]);
  expect(rowsOf(values.subarray(0, 4), { feeds: {}, examples, length: 3 }, { perToken: false })).toHaveLength(
    2,
  );
});

test("the loss of the next token is counted for every token but the first of an example", () => {
  const examples = [example(0, [0, 1]), example(1, [1, 0, 1])];
  const sure = (id: number): Float32Array => row(id === 0 ? 50 : 0, id === 1 ? 50 : 0);
  const losses = nextTokenLoss([sure(1), sure(0), sure(0), row(0, 0), sure(0)], {
    feeds: {},
    examples,
    length: 3,
  });
  expect(losses).toHaveLength(3);
  expect(losses[0]).toBeCloseTo(0, 6);
  expect(losses[1]).toBeCloseTo(0, 6);
  expect(losses[2]).toBeCloseTo(Math.log(2), 6);
});

test("similarities are the cosines of all pairs", () => {
  expect([...similarities([row(1, 0), row(0, 2), row(3, 3)])].map((x) => x.toFixed(4))).toEqual([
    "0.0000",
    "0.7071",
    "0.7071",
  ]);
});

test("of equal scores the first is predicted", () => {
  expect(argmax(row(1, 3, 3, 2))).toBe(1);
});
