import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { type RandomState, randomGenerator } from "./random.ts";

function draws(seed: number | RandomState, count = 8): number[] {
  const random = randomGenerator(seed);
  return Array.from({ length: count }, () => random.next());
}

describe("random numbers", () => {
  test("one seed, one sequence; other seeds, other sequences", () => {
    fc.assert(
      fc.property(fc.integer(), fc.integer(), (a, b) => {
        expect(draws(a)).toEqual(draws(a));
        expect(draws(a).join() === draws(b).join()).toBe(a === b);
      }),
    );
    expect(draws(2 ** 40)).not.toEqual(draws(2 ** 41));
  });

  test("the sequence is pinned: checkpoints and data sets depend on it", () => {
    expect(draws(1, 3)).toMatchInlineSnapshot(`
      [
        0.18452622554177367,
        0.037306802481395285,
        0.46343498724317067,
      ]
    `);
  });

  test("a stored state continues the sequence", () => {
    fc.assert(
      fc.property(fc.integer(), fc.nat(20), (seed, skip) => {
        const random = randomGenerator(seed);
        for (let i = 0; i < skip; i += 1) random.normal();
        const copy = randomGenerator(JSON.parse(JSON.stringify(random.state())));
        for (let i = 0; i < 5; i += 1) expect(copy.normal()).toBe(random.normal());
      }),
    );
  });

  test("uniform numbers have the moments of [0, 1), in every part of the range", () => {
    const values = draws(7, 40_000);
    expect(values.every((v) => v >= 0 && v < 1)).toBe(true);
    for (let part = 0; part < 10; part += 1) {
      const share = values.filter((v) => Math.floor(v * 10) === part).length / 40_000;
      expect(Math.abs(share - 0.1)).toBeLessThan(0.006);
    }
    // Neighbours are not correlated: 4 standard deviations of 1/12/√n.
    const products = values.slice(1).reduce((sum, v, i) => sum + (v - 0.5) * (values[i]! - 0.5), 0);
    expect(Math.abs(products / 40_000)).toBeLessThan(4 / 12 / 200);
  });

  test("normal numbers have mean 0, variance 1 and the kurtosis 3", () => {
    const random = randomGenerator(8);
    const values = Array.from({ length: 40_000 }, () => random.normal());
    const moment = (k: number): number => values.reduce((sum, v) => sum + v ** k, 0) / values.length;
    expect(Math.abs(moment(1))).toBeLessThan(0.02);
    expect(Math.abs(moment(2) - 1)).toBeLessThan(0.03);
    expect(Math.abs(moment(4) - 3)).toBeLessThan(0.25);
  });

  test("whole numbers are in range and all occur", () => {
    const random = randomGenerator(3);
    const counts = Array.from({ length: 7 }, () => 0);
    for (let i = 0; i < 7000; i += 1) counts[random.integer(7)]! += 1;
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(120);
    expect(() => random.integer(0)).toThrow("n is 0");
  });

  test("shuffling keeps the elements and reaches every order", () => {
    const random = randomGenerator(5);
    const orders = new Set<string>();
    for (let i = 0; i < 200; i += 1) orders.add(random.shuffle([1, 2, 3]).join(""));
    expect([...orders].sort()).toEqual(["123", "132", "213", "231", "312", "321"]);
    const typed = Int32Array.of(4, 5, 6, 7);
    expect(random.shuffle(typed)).toBe(typed);
    expect(new Set(typed)).toEqual(new Set([4, 5, 6, 7]));
  });

  test.each([[[1, 2, 3]], [[1, 2, 3, -1]], [[1, 2, 3, 0.5]], [[1, 2, 3, 2 ** 32]], [null]])(
    "refuses the state %j",
    (state) => {
      expect(() => randomGenerator(state as unknown as RandomState)).toThrow("not four 32-bit words");
    },
  );

  test("refuses a seed that is no number", () => {
    expect(() => randomGenerator(Number.NaN)).toThrow("seed is NaN");
  });
});
