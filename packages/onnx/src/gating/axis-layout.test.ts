import { type GroupLayout, groupCount } from "@dgate/core";
import { fc, groupOfElements } from "@dgate/testing";
import { expect, test } from "vitest";
import { indicesOf, type Occurrence } from "../coupling/analyse.ts";
import { axisLayout } from "./axis-layout.ts";

/** Group g of `groups` stands at (a, g, b) of an axis of `outer · groups · inner` indices that begins at `offset` and ends `after` its last. */
const placed = fc.record({
  outer: fc.integer({ min: 1, max: 3 }),
  groups: fc.integer({ min: 1, max: 4 }),
  inner: fc.integer({ min: 1, max: 3 }),
  offset: fc.integer({ min: 0, max: 2 }),
  after: fc.integer({ min: 0, max: 2 }),
});

test("the layout puts each index of the axis in the group that stands there", () => {
  fc.assert(
    fc.property(placed, fc.boolean(), ({ outer, groups, inner, offset, after }, twice) => {
      const span = outer * groups * inner;
      const loops = [
        { count: outer, stride: groups * inner },
        { count: inner, stride: 1 },
      ];
      const places: Occurrence[] = [{ offset, stride: inner, loops }];
      if (twice) places.push({ offset: offset + span, stride: inner, loops });
      const size = offset + span * places.length + after;
      const layout = axisLayout("test", groups, places, 1, size);
      const expected = Array.from({ length: size }, () => -1);
      for (let group = 0; group < groups; group++) {
        for (const place of places) for (const index of indicesOf(place, group)) expected[index] = group;
      }
      expect(groupCount(layout, [2, size, 1])).toBe(groups);
      expect(groupOfElements(layout, [2, size, 1])).toEqual([...expected, ...expected]);
    }),
  );
});

const at = (offset: number, stride: number, ...loops: Occurrence["loops"]): Occurrence => ({
  offset,
  stride,
  loops,
});

test.each<[string, number, readonly Occurrence[], number, GroupLayout]>([
  ["single indices", 3, [at(0, 1)], 3, { kind: "axis", axis: 1 }],
  ["runs", 3, [at(0, 2, { count: 2, stride: 1 })], 6, { kind: "blocks", axis: 1, blockSize: 2 }],
  ["one group for all", 1, [at(0, 4, { count: 4, stride: 1 })], 4, { kind: "tensor" }],
  [
    "interleaved indices",
    2,
    [at(0, 1, { count: 2, stride: 2 })],
    4,
    { kind: "indices", axis: 1, groups: 2, assignment: [0, 1, 0, 1] },
  ],
  [
    "a part of the axis",
    2,
    [at(1, 1)],
    4,
    { kind: "indices", axis: 1, groups: 2, assignment: [-1, 0, 1, -1] },
  ],
])("%s have the plainest layout", (_, groups, places, size, layout) => {
  expect(axisLayout("test", groups, places, 1, size)).toEqual(layout);
});

test("places that do not fit are refused before anything is listed", () => {
  const vast = at(0, 1, { count: Number.MAX_SAFE_INTEGER, stride: 1 }, { count: 2 ** 40, stride: 1 });
  expect(() => axisLayout("test", 2, [vast], 0, 8)).toThrow(/do not fit an axis of 8/);
  expect(() => axisLayout("test", 1e12, [at(0, 1)], 0, 8)).toThrow(/do not fit an axis of 8/);
  expect(() => axisLayout("test", 2, [at(7, 1)], 0, 8)).toThrow(/group 1 has index 8, the axis ends at 7/);
  expect(() => axisLayout("test", 2, [at(0, 0)], 0, 8)).toThrow(/index 0 is in the groups 0 and 1/);
});
