import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { affineCodes, codeFormat, type CodeFormat, type Runs } from "./affine-codes.ts";

const formats = fc
  .record({ dtype: fc.constantFrom("int8", "uint8"), symmetric: fc.boolean(), reduced: fc.boolean() })
  .map(({ dtype, symmetric, reduced }) => codeFormat(dtype, symmetric, reduced));

/** Ordinary weights, ranges on one side of zero, zeros, and numbers near both ends of float32. */
const weight = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.float({ min: Math.fround(-2), max: 2, noNaN: true }),
  fc.float({ min: 0.5, max: 1, noNaN: true }),
  fc.constantFrom(0, -0, 1, -1, 127, -127, 0.5, 1.5),
);

const tensors = fc
  .record({
    outer: fc.integer({ min: 1, max: 4 }),
    size: fc.integer({ min: 1, max: 4 }),
    inner: fc.integer({ min: 1, max: 4 }),
  })
  .chain((runs) => {
    const count = runs.outer * runs.size * runs.inner;
    const numbers = fc.array(weight, { minLength: count, maxLength: count });
    return fc.record({
      runs: fc.constant<Runs>(runs),
      numbers: numbers.map((list) => Float32Array.from(list)),
    });
  });

const indexOf = ({ size, inner }: Runs, element: number): number => Math.floor(element / inner) % size;

/** The codes of a whole tensor. */
const one = (numbers: readonly number[], format: CodeFormat) =>
  affineCodes(Float32Array.from(numbers), { outer: 1, size: 1, inner: numbers.length }, format, "fc1/kernel");

describe("codes of a scale and a zero point", () => {
  test("a weight is at most half a step from what its code means", () => {
    fc.assert(
      fc.property(tensors, formats, ({ runs, numbers }, format) => {
        const { codes, scales, zeroPoints } = affineCodes(numbers, runs, format, "w");
        numbers.forEach((number, i) => {
          const s = indexOf(runs, i);
          const real = (codes[i]! - zeroPoints[s]!) * scales[s]!;
          // The quotient that is rounded is a float32 itself.
          expect(Math.abs(number - real)).toBeLessThanOrEqual((scales[s]! / 2) * (1 + 2 ** -14));
        });
      }),
      { numRuns: 2000 },
    );
  });

  test("codes stay within the format, scales are finite and positive, zero has a code of its own", () => {
    fc.assert(
      fc.property(tensors, formats, ({ runs, numbers }, format) => {
        const { codes, scales, zeroPoints } = affineCodes(numbers, runs, format, "w");
        expect(codes.every((code) => code >= format.low && code <= format.high)).toBe(true);
        expect(scales.every((scale) => scale > 0 && Number.isFinite(scale))).toBe(true);
        const { low, high, middle } = format;
        expect(zeroPoints.every((zero) => zero >= (middle ?? low) && zero <= (middle ?? high))).toBe(true);
        const zeroCodes = codes.filter(
          (code, i) => numbers[i] === 0 && code !== zeroPoints[indexOf(runs, i)],
        );
        expect(zeroCodes).toHaveLength(0);
      }),
      { numRuns: 2000 },
    );
  });

  test("what other indices hold changes nothing", () => {
    fc.assert(
      fc.property(tensors, formats, ({ runs, numbers }, format) => {
        const whole = affineCodes(numbers, runs, format, "w");
        for (let s = 0; s < runs.size; s++) {
          const own = numbers.filter((_, i) => indexOf(runs, i) === s);
          const alone = affineCodes(own, { outer: 1, size: 1, inner: own.length }, format, "w");
          expect(alone.codes).toEqual(whole.codes.filter((_, i) => indexOf(runs, i) === s));
          expect([alone.scales[0], alone.zeroPoints[0]]).toEqual([whole.scales[s], whole.zeroPoints[s]]);
        }
      }),
    );
  });

  test("halves go to the even code", () => {
    // The scale is 1.
    const { codes } = one([127, 0.5, 1.5, 2.5, -0.5, -1.5], codeFormat("int8", true, false));
    expect([...codes]).toEqual([127, 0, 2, 2, 0, -2]);
  });

  test("an empty or zero weight, or one too small for a float32 scale, has scale 1", () => {
    for (const numbers of [[], [0, 0], [2 ** -149, -(2 ** -140)]]) {
      for (const symmetric of [true, false]) {
        const { codes, scales, zeroPoints } = one(numbers, codeFormat("uint8", symmetric, false));
        expect([...scales]).toEqual([1]);
        expect(codes.every((code) => code === zeroPoints[0])).toBe(true);
      }
    }
  });

  test.each([Number.NaN, Infinity, -Infinity])("%s is refused by the name of its tensor", (bad) => {
    expect(() => one([1, 2, bad, 3], codeFormat("int8", true, false))).toThrow(
      expect.objectContaining({ code: "DATA", message: expect.stringContaining("fc1/kernel") }),
    );
  });
});
