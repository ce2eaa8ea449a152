import { expect, test } from "vitest";
import { zeroSlices } from "./mask-weights.ts";

test("slices of dead groups are zero, all others stay", () => {
  const values = Float32Array.from({ length: 24 }, (_, i) => i + 1);
  // [2, 4, 3]: groups of two indices along axis 1.
  zeroSlices(values, [2, 4, 3], { axis: 1, blockSize: 2 }, [1]);
  expect([...values]).toEqual([1, 2, 3, 4, 5, 6, 0, 0, 0, 0, 0, 0, 13, 14, 15, 16, 17, 18, 0, 0, 0, 0, 0, 0]);
});

test("axis −1 is the whole tensor", () => {
  const values = Float32Array.of(1, 2, 3);
  zeroSlices(values, [3], { axis: -1, blockSize: 1 }, []);
  expect([...values]).toEqual([1, 2, 3]);
  zeroSlices(values, [3], { axis: -1, blockSize: 1 }, [0]);
  expect([...values]).toEqual([0, 0, 0]);
});
