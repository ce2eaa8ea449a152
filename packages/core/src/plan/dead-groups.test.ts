import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { type DeadGroupOptions, findDeadGroups } from "./dead-groups.ts";

describe("dead groups", () => {
  test("are those at most the larger of the two thresholds", () => {
    const norms = [2, 0.02, 0.0200001, 1e-7, 1];
    expect(findDeadGroups(norms)).toEqual({
      kept: [0, 2, 4],
      dead: [1, 3],
      near: 2,
      threshold: 0.02,
      rescued: 0,
    });
    expect(findDeadGroups(norms, { absolute: 1.5 })).toMatchObject({ kept: [0], threshold: 1.5, near: 2 });
    expect(findDeadGroups(norms, { relative: 0 })).toMatchObject({ dead: [3], threshold: 1e-6, near: 0 });
  });

  test("near counts both sides of the threshold", () => {
    const options = { absolute: 1, relative: 0, nearFactor: 3 };
    expect(findDeadGroups([0.3, 0.4, 1, 2.9, 3.1], options).near).toBe(3);
  });

  test("when all are dead the strongest stays, and it is said", () => {
    expect(findDeadGroups([1e-9, 3e-9, 2e-9])).toMatchObject({ kept: [1], dead: [0, 2], rescued: 1 });
    expect(findDeadGroups([0, 0])).toMatchObject({ kept: [0], dead: [1], rescued: 1 });
    expect(findDeadGroups([0, 0], { keepAtLeast: 0 })).toMatchObject({ kept: [], dead: [0, 1], rescued: 0 });
  });

  test("keepAtLeast keeps the strongest, in ascending order, and never more than there are", () => {
    const norms = [1e-9, 1, 3e-9, 2e-9];
    expect(findDeadGroups(norms, { keepAtLeast: 3 })).toMatchObject({
      kept: [1, 2, 3],
      dead: [0],
      rescued: 2,
    });
    expect(findDeadGroups(norms, { keepAtLeast: 9 })).toMatchObject({ kept: [0, 1, 2, 3], rescued: 3 });
  });

  test("every group is either kept or dead, and no dead one is stronger than a kept one", () => {
    const norms = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 30 });
    fc.assert(
      fc.property(
        norms,
        fc.nat(5),
        fc.double({ min: 0, max: 1, noNaN: true }),
        (values, keepAtLeast, relative) => {
          const { kept, dead, threshold, rescued } = findDeadGroups(values, { keepAtLeast, relative });
          expect([...kept, ...dead].sort((a, b) => a - b)).toEqual([...values.keys()]);
          expect(kept.filter((j) => values[j]! <= threshold).length).toBe(rescued);
          expect(kept.length).toBeGreaterThanOrEqual(Math.min(keepAtLeast, values.length));
          for (const d of dead) for (const k of kept) expect(values[d]!).toBeLessThanOrEqual(values[k]!);
        },
      ),
    );
  });

  test.each<[ArrayLike<number>, DeadGroupOptions, RegExp]>([
    [[1, Number.NaN], {}, /norm of group 1 is NaN; did training diverge/],
    [[Infinity], {}, /group 0 is Infinity/],
    [[-1], {}, /group 0 is -1/],
    [[1], { relative: 2 }, /relative is 2/],
    [[1], { absolute: -1 }, /absolute is -1/],
    [[1], { nearFactor: 0.5 }, /nearFactor is 0.5/],
    [[1], { keepAtLeast: Number.NaN }, /keepAtLeast is NaN/],
  ])("refuses norms %j with options %j", (norms, options, message) => {
    expect(() => findDeadGroups(norms, options)).toThrow(message);
  });
});
