import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import {
  addDims,
  canonicalDim,
  divideDims,
  floorDivideDims,
  multiplyDims,
  sizeOfDim,
  subtractDims,
} from "./dims.ts";
import { add, divide, evaluate, multiply, parse, print, type Polynomial } from "./polynomial.ts";

const names = ["batch", "seq", "past", "n"];

/** A polynomial of a few terms, as sizes have. */
const polynomial: fc.Arbitrary<Polynomial> = fc
  .array(
    fc.tuple(
      fc.subarray(names),
      fc.integer({ min: -9, max: 9 }).filter((value) => value !== 0),
    ),
    { maxLength: 4 },
  )
  .map((terms) => new Map(terms.map(([factors, value]) => [factors.sort().join("·"), value])));

const values = fc.record(Object.fromEntries(names.map((name) => [name, fc.integer({ min: 1, max: 9 })])));

describe("symbolic sizes", () => {
  test("sums, products and exact quotients are those of the numbers behind the names", () => {
    fc.assert(
      fc.property(polynomial, polynomial, values, (a, b, numbers) => {
        const at = (x: Polynomial): number => evaluate(x, (name) => numbers[name]!);
        expect(at(add(a, b)!)).toBe(at(a) + at(b));
        expect(at(add(a, b, -1)!)).toBe(at(a) - at(b));
        expect(at(multiply(a, b)!) - at(a) * at(b)).toBe(0);
        const quotient = divide(a, b);
        expect(quotient ? print(multiply(quotient, b)!) : print(a)).toBe(print(a));
      }),
    );
  });

  test("a term divides its product with anything", () => {
    const term = fc.tuple(fc.subarray(names, { minLength: 1 }), fc.integer({ min: 1, max: 9 }));
    fc.assert(
      fc.property(polynomial, term, (a, [factors, value]) => {
        const divisor = new Map([[factors.sort().join("·"), value]]);
        expect(print(divide(multiply(a, divisor)!, divisor)!)).toBe(print(a));
      }),
    );
  });

  test("what is printed is read back", () => {
    fc.assert(
      fc.property(polynomial, (a) => {
        expect(print(parse(print(a))!)).toBe(print(a));
      }),
    );
  });

  test("any text is a size: a name where it is no formula, and never an error", () => {
    const text = fc.string({
      unit: fc.constantFrom("a", "b", "1", "2", "·", " + ", " - ", "(", ")", "⌊", "⌋", "/", " "),
    });
    fc.assert(
      fc.property(text, (name) => {
        expect(["string", "number", "undefined"]).toContain(typeof canonicalDim(name));
      }),
      { numRuns: 2000 },
    );
  });

  test.each<[string, unknown, unknown]>([
    ["sums in any order", addDims(["seq", "past"]), addDims(["past", "seq"])],
    ["a sum that an exporter uses as a name", canonicalDim("past + 1"), addDims([1, "past"])],
    ["the same twice", addDims(["batch", "batch"]), "2·batch"],
    ["a difference", subtractDims(addDims(["past", "seq"]), "past"), "seq"],
    [
      "products over a sum",
      divideDims(multiplyDims([addDims(["past", "seq"]), 768]), multiplyDims([12, addDims(["past", "seq"])])),
      64,
    ],
    ["a quotient that is not whole", divideDims("seq", 2), undefined],
    ["its floor, which has a name", floorDivideDims("seq", 2), "⌊seq/2⌋"],
    ["a floor that is exact", floorDivideDims(multiplyDims([4, "seq"]), 2), "2·seq"],
    [
      "a floor takes whole numbers in",
      addDims([floorDivideDims(addDims(["seq", -1]), 2), 1]),
      "⌊(seq + 1)/2⌋",
    ],
    ["a name with blanks of its own", canonicalDim("batch_size x num_heads"), "batch_size x num_heads"],
    ["a size too large for a number", multiplyDims([2 ** 40, 2 ** 40]), undefined],
  ])("%s", (_, found, expected) => {
    expect(found).toBe(expected);
  });

  test("a size is a number once all its names have one", () => {
    const total = multiplyDims([addDims(["past", "seq"]), 3]);
    expect(sizeOfDim(total, (name) => (name === "past" ? 4 : 2))).toBe(18);
  });
});
