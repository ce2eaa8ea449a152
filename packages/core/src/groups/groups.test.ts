import { fc, groupOfElements, layoutsOf, shapes } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { arrayOps } from "../arrays/array-ops.ts";
import { sizeOf } from "../check.ts";
import { expandGroups, sumGroups } from "./expand.ts";
import { defineGroups, type GroupOptions } from "./group-set.ts";
import { checkLayout, type GroupLayout, groupCount, groupSizes } from "./layout.ts";

const ops = arrayOps("float64");
const laidOut = shapes().chain((shape) => fc.record({ shape: fc.constant(shape), layout: layoutsOf(shape) }));

describe("groups of a tensor", () => {
  test("counts and sizes are those of counting elements one by one", () => {
    fc.assert(
      fc.property(laidOut, ({ shape, layout }) => {
        const groups = groupOfElements(layout, shape);
        const sizes = Array.from(
          { length: groupCount(layout, shape) },
          (_, j) => groups.filter((g) => g === j).length,
        );
        expect(groupSizes(layout, shape)).toEqual(sizes);
        expect(Math.max(...groups)).toBe(groupCount(layout, shape) - 1);
      }),
    );
  });

  test("expanding gives each element the value of its group", () => {
    fc.assert(
      fc.property(laidOut, fc.integer({ min: -2, max: 2 }), ({ shape, layout }, ungated) => {
        const values = Array.from({ length: groupCount(layout, shape) }, (_, j) => j + 10);
        const perGroup = ops.constant(values, [values.length]);
        const spread = expandGroups(ops, layout, shape, perGroup, ungated);
        const zeros = ops.constant(new Float64Array(sizeOf(shape)), shape);
        const whole = ops.add(zeros, spread);
        expect(whole.shape).toEqual(shape);
        expect([...whole.data]).toEqual(
          groupOfElements(layout, shape).map((j) => (j < 0 ? ungated : values[j])),
        );
      }),
    );
  });

  test("summing adds up the elements of each group", () => {
    fc.assert(
      fc.property(laidOut, ({ shape, layout }) => {
        const x = Float64Array.from({ length: sizeOf(shape) }, (_, i) => 2 ** (i % 20));
        const sums = Array.from({ length: groupCount(layout, shape) }, () => 0);
        for (const [i, j] of groupOfElements(layout, shape).entries()) if (j >= 0) sums[j]! += x[i]!;
        const got = sumGroups(ops, layout, shape, ops.constant(x, shape));
        expect(got.shape).toEqual([sums.length]);
        expect([...got.data]).toEqual(sums);
      }),
    );
  });

  test("gates of the last axis need no operation at all", () => {
    const perGroup = ops.constant([1, 2, 3], [3]);
    expect(expandGroups(ops, { kind: "axis", axis: 1 }, [4, 3], perGroup)).toBe(perGroup);
  });

  test("a tensor without axes is one group", () => {
    const set = defineGroups([{ name: "scale", shape: [], layout: { kind: "tensor" } }]);
    expect(set).toMatchObject({ groups: 1, sizes: [1] });
    const gate = expandGroups(ops, { kind: "tensor" }, [], ops.constant([2], [1]));
    expect(ops.mul(ops.scalar(3), gate)).toEqual(ops.scalar(6));
    expect(sumGroups(ops, { kind: "tensor" }, [], ops.scalar(3)).shape).toEqual([1]);
  });

  test.each<[GroupLayout, readonly number[], RegExp]>([
    [{ kind: "axis", axis: 2 }, [3, 4], /axis is 2, expected 0 to 1/],
    [{ kind: "axis", axis: -1 }, [3, 4], /axis is -1/],
    [{ kind: "axis", axis: 0.5 }, [3, 4], /axis is 0.5/],
    [{ kind: "axes", axes: [1, 0] }, [3, 4], /axes are \[1, 0\], expected them ascending/],
    [{ kind: "axes", axes: [0, 0] }, [3, 4], /ascending without repeats/],
    [{ kind: "blocks", axis: 1, blockSize: 3 }, [3, 4], /blockSize is 3, expected a divisor of the 4/],
    [{ kind: "blocks", axis: 1, blockSize: 0 }, [3, 4], /blockSize is 0/],
    [{ kind: "blocks", axis: 1, blockSize: Number.NaN }, [3, 4], /blockSize is NaN/],
    [{ kind: "assignment", groups: 2, assignment: [0, 1] }, [3], /2 assignments for 3 elements/],
    [
      { kind: "assignment", groups: 2, assignment: [0, 2, 1] },
      [3],
      /element 1 is assigned to group 2, .* to 1/,
    ],
    [{ kind: "assignment", groups: 2, assignment: [0, -2, 1] }, [3], /element 1 is assigned to group -2/],
    [{ kind: "assignment", groups: 0, assignment: [] }, [1], /groups is 0/],
    [
      { kind: "indices", axis: 1, groups: 2, assignment: [0, 1] },
      [2, 3],
      /2 assignments for 3 indices of the axis/,
    ],
    [{ kind: "indices", axis: 2, groups: 2, assignment: [0, 1] }, [2, 3], /axis is 2/],
    [{ kind: "indices", axis: 0, groups: 1, assignment: [0, 1] }, [2, 3], /index 1 is assigned to group 1/],
    [{ kind: "tensor" }, [3, 0], /has 0 at axis 1/],
    [{ kind: "tensor" }, [Number.NaN], /has NaN at axis 0/],
  ])("refuses layout %j of shape %j", (layout, shape, message) => {
    expect(() => checkLayout(layout, shape)).toThrow(message);
  });
});

describe("coupled groups", () => {
  const kernel = { name: "kernel", shape: [3, 4], layout: { kind: "axis", axis: 1 } } as const;

  test("sizes add up and √p weights follow them", () => {
    const bias = { name: "bias", shape: [4], layout: { kind: "elements" } } as const;
    const set = defineGroups([kernel, bias], { weights: "sqrt-size" });
    expect(set.sizes).toEqual([4, 4, 4, 4]);
    expect(set.weights).toEqual([2, 2, 2, 2]);
  });

  test("refuses tensors with different numbers of groups", () => {
    const bias = { name: "bias", shape: [5], layout: { kind: "elements" } } as const;
    expect(() => defineGroups([kernel, bias])).toThrow('"bias" has 5 groups but "kernel" has 4');
  });

  test.each<[string, GroupOptions, RegExp]>([
    ["too few weights", { weights: [1] }, /1 weights for 4 groups/],
    ["a negative weight", { weights: [1, 1, -1, 1] }, /weights\[2\] is -1/],
    ["a weight that is no number", { weights: [1, Number.NaN, 1, 1] }, /weights\[1\] is NaN/],
  ])("refuses %s", (_, options, message) => {
    expect(() => defineGroups([kernel], options)).toThrow(message);
  });

  test("refuses no member, and a group without elements", () => {
    expect(() => defineGroups([])).toThrow("no member");
    const layout: GroupLayout = { kind: "assignment", groups: 2, assignment: [0, -1, 0] };
    expect(() => defineGroups([{ name: "w", shape: [3], layout }])).toThrow('group 1 of "w" has no element');
  });
});
