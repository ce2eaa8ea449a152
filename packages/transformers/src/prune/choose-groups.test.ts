import { DgateError } from "@dgate/core";
import { fc } from "@dgate/testing";
import type { Site } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import type { GatedBlock, SiteGroup } from "../blocks/block.ts";
import { chooseGroups } from "./choose-groups.ts";

const block = (name: string, group: SiteGroup, groups: number): GatedBlock => ({
  name,
  group,
  groups,
  layer: 0,
  file: "model",
  // Choosing looks at numbers of groups, and at what reads them.
  site: { name, coupled: [] as Site["coupled"] } as Site,
  sites: [],
});

const scored = fc
  .array(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: 1, maxLength: 24 }), {
    minLength: 1,
    maxLength: 5,
  })
  .map((lists) => ({
    lists,
    scores: new Map(lists.map((list, i) => [`b${i}`, Float64Array.from(list)])),
  }));

describe("chooseGroups", () => {
  test("keeps no more than the budget, and no less than one group below it", () => {
    fc.assert(
      fc.property(scored, fc.double({ min: 0, max: 1, noNaN: true }), ({ lists, scores }, fraction) => {
        const blocks = lists.map((list, i) => block(`b${i}`, "heads", list.length));
        const total = lists.flat().length;
        const budget = Math.max(blocks.length, Math.round(fraction * total));
        const { kept, cost } = chooseGroups(blocks, scores, budget);
        const count = [...kept.values()].flat().length;
        expect(cost).toBeCloseTo(count, 9);
        expect(count).toBe(Math.min(budget, total));
        for (const groups of kept.values()) expect(groups.length).toBeGreaterThan(0);
      }),
    );
  });

  test("no group that goes is stronger than one of the same block that stays", () => {
    fc.assert(
      fc.property(scored, fc.integer({ min: 1, max: 8 }), fc.boolean(), ({ lists, scores }, align, even) => {
        const blocks = lists.map((list, i) => block(`b${i}`, i % 2 === 0 ? "ffn" : "heads", list.length));
        const { kept } = chooseGroups(blocks, scores, lists.flat().length / 2, { align, even });
        for (const { name } of blocks) {
          const own = [...scores.get(name)!];
          const stays = new Set(kept.get(name));
          const weakest = Math.min(...own.filter((_, j) => stays.has(j)));
          const strongest = Math.max(-Infinity, ...own.filter((_, j) => !stays.has(j)));
          expect(strongest).toBeLessThanOrEqual(weakest);
        }
      }),
    );
  });

  test("what is left of a feed-forward layer is a multiple, or all of it", () => {
    fc.assert(
      fc.property(scored, fc.integer({ min: 1, max: 8 }), ({ lists, scores }, align) => {
        const blocks = lists.map((list, i) => block(`b${i}`, "ffn", list.length));
        const { kept } = chooseGroups(blocks, scores, 0, { align });
        for (const { name, groups } of blocks) {
          const count = kept.get(name)!.length;
          expect(count === groups || count % Math.min(align, groups) === 0).toBe(true);
        }
      }),
    );
  });

  test("even layers keep the same number of heads", () => {
    const blocks = [block("a", "heads", 4), block("b", "heads", 4)];
    const scores = new Map([
      ["a", Float64Array.of(9, 8, 7, 6)],
      ["b", Float64Array.of(1, 4, 3, 2)],
    ]);
    const { kept } = chooseGroups(blocks, scores, 4, { even: true });
    expect(Object.fromEntries(kept)).toEqual({ a: [0, 1], b: [1, 2] });
    expect(Object.fromEntries(chooseGroups(blocks, scores, 5).kept)).toEqual({ a: [0, 1, 2, 3], b: [1] });
  });

  test("dear groups count for more", () => {
    const blocks = [block("heads", "heads", 2), block("ffn", "ffn", 4)];
    const scores = new Map([
      ["heads", Float64Array.of(0.5, 0.1)],
      ["ffn", Float64Array.of(0.2, 0.9, 0.3, 0.8)],
    ]);
    const { kept, cost } = chooseGroups(blocks, scores, 14, {
      costOf: ({ group }) => (group === "heads" ? 10 : 1),
    });
    expect(Object.fromEntries(kept)).toEqual({ heads: [0], ffn: [0, 1, 2, 3] });
    expect(cost).toBe(14);
  });

  test("a residual branch may go, a layer's last head may not", () => {
    const blocks = [block("branch", "layers", 1), block("heads", "heads", 2)];
    const alike = new Map([
      ["branch", Float64Array.of(1)],
      ["heads", Float64Array.of(1, 1)],
    ]);
    const { kept, cost } = chooseGroups(blocks, alike, 0);
    expect(kept.get("branch")).toEqual([]);
    expect(kept.get("heads")).toHaveLength(1);
    expect(cost).toBe(1);
    expect(chooseGroups(blocks, alike, 0, { minimum: 0 }).kept.get("heads")).toEqual([]);
  });

  test("a score that is NaN, and options out of range, are refused", () => {
    const blocks = [block("a", "heads", 2)];
    expect(() => chooseGroups(blocks, new Map([["a", Float64Array.of(1, Number.NaN)]]), 1)).toThrow(
      'the score of group 1 of "a" is NaN',
    );
    expect(() => chooseGroups(blocks, new Map(), 1, { minimum: -1 })).toThrow(DgateError);
    expect(() => chooseGroups(blocks, new Map(), 1, { align: 0 })).toThrow("align is 0");
  });
});
