import { describeTensorOps } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { arrayOps } from "./array-ops.ts";

describeTensorOps("arrayOps float64", () => arrayOps("float64"), {
  toNumbers: (x) => x.data,
  tolerance: "float64",
});

describeTensorOps("arrayOps float32", () => arrayOps("float32"), {
  toNumbers: (x) => x.data,
  tolerance: "float32",
});

describe("arrayOps refuses", () => {
  const ops = arrayOps("float64");
  const matrix = ops.constant([1, 2, 3, 4, 5, 6], [2, 3]);

  test.each<[string, () => unknown, RegExp]>([
    [
      "shapes that do not broadcast",
      () => ops.add(matrix, ops.constant([1, 2], [2])),
      /\[2, 3\] and \[2\] do not broadcast/,
    ],
    ["a shape of another size", () => ops.reshape(matrix, [4]), /shape \[4\] holds 4 values, got 6/],
    ["values of another count", () => ops.constant([1], [2]), /holds 2 values, got 1/],
    ["an axis outside the shape", () => ops.sum(matrix, [2]), /axis 2 is not an axis of shape \[2, 3\]/],
    ["an index outside the axis", () => ops.gather(matrix, [2]), /index 2 is outside axis 0 of length 2/],
    [
      "segments of another count",
      () => ops.segmentSum(ops.constant([1], [1]), [0, 1], 2),
      /2 segments for shape \[1\]/,
    ],
    [
      "segments of a matrix",
      () => ops.segmentSum(matrix, [0, 0, 0, 0, 0, 0], 1),
      /6 segments for shape \[2, 3\]/,
    ],
    [
      "a segment outside the count",
      () => ops.segmentSum(ops.constant([1], [1]), [2], 2),
      /segment 2 is outside the 2/,
    ],
  ])("%s", (_, run, message) => {
    expect(run).toThrow(message);
  });
});
