import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { scaled, scaleOf, stratifiedSplit } from "./split.ts";

test("a split has every row once, and the same part of each label in the test", () => {
  fc.assert(
    fc.property(fc.array(fc.nat(3), { minLength: 1, maxLength: 80 }), fc.nat(), (labels, seed) => {
      const { train, test: tested } = stratifiedSplit(labels, 0.25, seed);
      expect([...train, ...tested].sort((a, b) => a - b)).toEqual(labels.map((_, row) => row));
      for (const label of new Set(labels)) {
        const count = labels.filter((each) => each === label).length;
        expect(tested.filter((row) => labels[row] === label)).toHaveLength(Math.round(0.25 * count));
      }
    }),
  );
});

test("equal seeds split alike, others do not", () => {
  const labels = Array.from({ length: 60 }, (_, i) => i % 3);
  expect(stratifiedSplit(labels, 0.25, 1)).toEqual(stratifiedSplit(labels, 0.25, 1));
  expect(stratifiedSplit(labels, 0.25, 1)).not.toEqual(stratifiedSplit(labels, 0.25, 2));
});

test("scaled numbers have mean 0 and deviation 1, constant ones are 0", () => {
  const scale = scaleOf([1, 2, 3, 6]);
  const again = scaleOf([1, 2, 3, 6].map((value) => scaled(value, scale)));
  expect(again.mean).toBeCloseTo(0);
  expect(again.deviation).toBeCloseTo(1);
  expect(scaled(5, scaleOf([5, 5]))).toBe(0);
});
