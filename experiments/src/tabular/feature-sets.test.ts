import { randomGenerator } from "@dgate/core";
import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { mean } from "../report/figures.ts";
import { recoveryOf, setNear, stabilityOf } from "./feature-sets.ts";

describe("stability", () => {
  test("is 1 for equal sets, whatever their order", () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(19), { minLength: 1, maxLength: 19 }), (set) => {
        expect(stabilityOf([set, set.toReversed(), set], 20)).toBeCloseTo(1, 12);
      }),
    );
  });

  test.each([2, 5, 9])("is 0 in the mean for drawn sets of %i of 10", (size) => {
    const random = randomGenerator(size);
    const drawn = (): number[] => {
      const order = Int32Array.from({ length: 10 }, (_, i) => i);
      random.shuffle(order);
      return [...order.subarray(0, size)];
    };
    const values = Array.from({ length: 2000 }, () => stabilityOf([drawn(), drawn(), drawn()], 10)!);
    expect(Math.abs(mean(values))).toBeLessThan(0.02);
  });

  test("is less than 0 for sets that avoid each other", () => {
    expect(
      stabilityOf(
        [
          [0, 1],
          [2, 3],
        ],
        4,
      ),
    ).toBe(-1);
  });

  test("is not defined where nothing was chosen", () => {
    expect(stabilityOf([[0]], 4)).toBeUndefined();
    expect(stabilityOf([[], []], 4)).toBeUndefined();
    expect(
      stabilityOf(
        [
          [0, 1],
          [0, 1],
        ],
        2,
      ),
    ).toBeUndefined();
  });
});

describe("setNear", () => {
  test("takes the nearest size, the smaller of two", () => {
    expect(setNear([[1], [1, 2, 3], [1, 2, 3, 4, 5]], 4)).toEqual([1, 2, 3]);
  });

  test("takes nothing that is far off", () => {
    expect(setNear([[1, 2, 3, 4, 5, 6]], 3)).toBeUndefined();
    expect(setNear([], 3)).toBeUndefined();
  });
});

describe("recoveryOf", () => {
  test("tells what is missed from what is too much", () => {
    expect(recoveryOf([0, 1, 2, 9], [0, 1])).toEqual({ precision: 0.5, recall: 1, exact: false });
    expect(recoveryOf([0], [0, 1])).toEqual({ precision: 1, recall: 0.5, exact: false });
    expect(recoveryOf([1, 0], [0, 1])).toEqual({ precision: 1, recall: 1, exact: true });
    expect(recoveryOf([], [0, 1])).toEqual({ precision: 0, recall: 0, exact: false });
  });
});
