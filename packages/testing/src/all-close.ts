import { expect } from "vitest";
import { type Tolerance, tolerances } from "./tolerance.ts";

/** Numbers to compare: a plain or typed array, or a tensor whose numbers are under `data`. */
export type Numbers = ArrayLike<number> | { readonly data: ArrayLike<number> };

declare module "vitest" {
  interface Matchers<T> {
    /**
     * All numbers are as many as expected and within the tolerance of their type (default `float64`). NaN is close to
     * nothing.
     */
    toBeAllClose(expected: Numbers, tolerance?: keyof typeof tolerances | Tolerance): T;
  }
}

/** Index of the first number that is too far from the expected one, or −1. */
export function firstDifference(
  got: ArrayLike<number>,
  expected: ArrayLike<number>,
  { absolute, relative }: Tolerance,
): number {
  for (let i = 0; i < expected.length; i += 1) {
    const want = expected[i]!;
    // Infinities are close to themselves alone; any tolerance relative to them would be infinite.
    const close = Number.isFinite(want) && Math.abs(got[i]! - want) <= absolute + relative * Math.abs(want);
    if (!close && got[i] !== want) return i;
  }
  return -1;
}

/** The numbers of an array or of a tensor. */
export function numbersOf(x: Numbers): ArrayLike<number> {
  return "data" in x ? x.data : x;
}

expect.extend({
  toBeAllClose(
    received: Numbers,
    wanted: Numbers,
    tolerance: keyof typeof tolerances | Tolerance = "float64",
  ) {
    const got = numbersOf(received);
    const expected = numbersOf(wanted);
    const allowed = typeof tolerance === "string" ? tolerances[tolerance] : tolerance;
    if (got.length !== expected.length) {
      return { pass: false, message: () => `expected ${expected.length} numbers, got ${got.length}` };
    }
    const at = firstDifference(got, expected, allowed);
    if (at === -1) return { pass: true, message: () => `expected some number not to be close, all are` };
    const message = (): string =>
      `number ${at} is ${got[at]}, expected ${expected[at]} within ${allowed.absolute} + ${allowed.relative} · |expected| ` +
      `(difference ${Math.abs(got[at]! - expected[at]!)})`;
    return { pass: false, message };
  },
});

/** Vitest's `expect` with `toBeAllClose`. */
export { expect };
