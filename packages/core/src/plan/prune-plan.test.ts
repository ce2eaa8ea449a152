import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { DgateError } from "../errors.ts";
import { fingerprintOf } from "./fingerprint.ts";
import { parsePlan, printPlan } from "./plan-json.ts";
import { makePlan, mergePlans, type PlannedAxis, type PrunePlan } from "./prune-plan.ts";

const neurons: PlannedAxis = {
  site: "dense",
  tensor: "dense/kernel",
  axis: 1,
  size: 6,
  blockSize: 1,
  kept: [0, 2, 3, 4],
};
const heads: PlannedAxis = { site: "heads", tensor: "attn/v", axis: 1, size: 4, blockSize: 16, kept: [1] };
const plan = makePlan({ fingerprint: "00000000deadbeef", axes: [neurons, heads] });

const plannedAxes: fc.Arbitrary<PlannedAxis> = fc.integer({ min: 1, max: 12 }).chain((size) =>
  fc.record({
    site: fc.string(),
    tensor: fc.string(),
    axis: fc.nat(3),
    size: fc.constant(size),
    blockSize: fc.integer({ min: 1, max: 64 }),
    kept: fc.subarray([...Array(size).keys()], { minLength: 1 }),
  }),
);

const plans: fc.Arbitrary<PrunePlan> = fc
  .record({
    fingerprint: fc.string(),
    axes: fc.uniqueArray(plannedAxes, { selector: ({ tensor, axis }) => `${axis} ${tensor}` }),
  })
  .map(makePlan);

describe("a prune plan", () => {
  test("printed and parsed is the same plan, and printed again the same text", () => {
    fc.assert(
      fc.property(plans, (any) => {
        const text = printPlan(any);
        expect(parsePlan(text)).toEqual(any);
        expect(printPlan(parsePlan(JSON.parse(text)))).toBe(text);
      }),
    );
  });

  test("prints one line per axis, in a fixed order", () => {
    expect(printPlan(plan)).toMatchInlineSnapshot(`
      "{
        "version": 1,
        "fingerprint": "00000000deadbeef",
        "axes": [
          {"site":"heads","tensor":"attn/v","axis":1,"size":4,"blockSize":16,"kept":[1]},
          {"site":"dense","tensor":"dense/kernel","axis":1,"size":6,"blockSize":1,"kept":[0,2,3,4]}
        ]
      }
      "
    `);
    expect(printPlan(plan, "text")).toMatchInlineSnapshot(`
      "plan for model 00000000deadbeef
        heads: 1 of 4 stay (1), axis 1 of attn/v, 16 indices each
        dense: 4 of 6 stay (0, 2-4), axis 1 of dense/kernel"
    `);
    expect(parsePlan(printPlan(makePlan({ fingerprint: "x", axes: [] }))).axes).toEqual([]);
  });

  test("does not share the arrays it was made from", () => {
    const kept = [0, 1];
    const own = makePlan({ fingerprint: "x", axes: [{ ...neurons, kept }] });
    kept.push(2);
    expect(own.axes[0]!.kept).toEqual([0, 1]);
  });

  test("a single group may leave, several may not all leave", () => {
    const layer: PlannedAxis = { ...neurons, size: 1, kept: [] };
    expect(makePlan({ fingerprint: "x", axes: [layer] }).axes[0]!.kept).toEqual([]);
    expect(() => makePlan({ fingerprint: "x", axes: [{ ...neurons, kept: [] }] })).toThrow(
      "keeps none of 6 groups",
    );
  });

  test.each<[Partial<PlannedAxis>, RegExp]>([
    [{ kept: [0, 6] }, /axis 1 of "dense\/kernel" \(site "dense"\) keeps index 6 of 6 groups \(0 to 5\)/],
    [{ kept: [-1] }, /keeps index -1/],
    [{ kept: [0.5] }, /keeps index 0.5/],
    [{ kept: [2, 1] }, /keeps 1 after 2; indices must ascend/],
    [{ kept: [1, 1] }, /keeps 1 after 1/],
    [{ size: 0 }, /has size 0/],
    [{ blockSize: 0 }, /has blockSize 0/],
    [{ axis: -1 }, /has axis -1/],
  ])("refuses %j", (change, message) => {
    expect(() => makePlan({ fingerprint: "x", axes: [{ ...neurons, ...change }] })).toThrow(message);
  });

  test("refuses one axis planned twice", () => {
    expect(() => makePlan({ fingerprint: "x", axes: [neurons, { ...neurons, site: "other" }] })).toThrow(
      "planned twice",
    );
  });

  const good = JSON.parse(printPlan(plan));
  test.each<[string, unknown, RegExp]>([
    ["half a file", printPlan(plan).slice(0, 60), /plan: not JSON \(.*was the file cut/],
    ["a list", [], /plan: expected an object, got \[\]/],
    ["nothing", null, /plan: expected an object, got null/],
    ["another version", { ...good, version: 2 }, /version is 2, expected 1/],
    [
      "no fingerprint",
      { ...good, fingerprint: undefined },
      /plan.fingerprint: expected a string, got nothing/,
    ],
    ["axes that are no list", { ...good, axes: {} }, /plan.axes: expected a list, got \{\}/],
    ["an axis that is no object", { ...good, axes: [7] }, /plan.axes\[0\]: expected an object, got 7/],
    [
      "a size that is text",
      { ...good, axes: [{ ...neurons, size: "6" }] },
      /axes\[0\].size: expected a number, got "6"/,
    ],
    [
      "kept that is missing",
      { ...good, axes: [{ ...neurons, kept: null }] },
      /axes\[0\].kept: expected a list/,
    ],
    [
      "an index that is text",
      { ...good, axes: [{ ...neurons, kept: [0, "1"] }] },
      /axes\[0\].kept\[1\]: expected a number/,
    ],
    ["an index out of range", { ...good, axes: [{ ...neurons, kept: [9] }] }, /keeps index 9 of 6 groups/],
  ])("parsing refuses %s", (_, json, message) => {
    expect(() => parsePlan(json)).toThrow(DgateError);
    expect(() => parsePlan(json)).toThrow(message);
  });
});

describe("merging plans", () => {
  test("keeps what all of them keep", () => {
    const other = makePlan({ ...plan, axes: [{ ...neurons, site: "again", kept: [2, 4, 5] }] });
    const merged = mergePlans([plan, other]);
    expect(merged.axes).toEqual([heads, { ...neurons, site: "dense + again", kept: [2, 4] }]);
  });

  test("with itself or alone changes nothing", () => {
    fc.assert(
      fc.property(plans, (any) => {
        expect(mergePlans([any])).toEqual(any);
        expect(mergePlans([any, any])).toEqual(any);
      }),
    );
  });

  test("refuses plans of different models, axes that differ, and an empty intersection", () => {
    expect(() => mergePlans([])).toThrow("no plan");
    expect(() => mergePlans([plan, { ...plan, fingerprint: "other" }])).toThrow("plans of different models");
    const resized = makePlan({ ...plan, axes: [{ ...neurons, size: 8 }] });
    expect(() => mergePlans([plan, resized])).toThrow("6 groups of 1 in one plan and 8 of 1 in another");
    const wider = makePlan({ ...plan, axes: [{ ...neurons, blockSize: 2 }] });
    expect(() => mergePlans([plan, wider])).toThrow("6 groups of 1 in one plan and 6 of 2 in another");
    const disjoint = makePlan({ ...plan, axes: [{ ...neurons, kept: [1] }] });
    expect(() => mergePlans([plan, disjoint])).toThrow("keeps none of 6 groups");
  });
});

describe("fingerprints", () => {
  const entries = [
    { name: "w", shape: [3, 4], dtype: "float32" },
    { name: "b", shape: [4], dtype: "float32" },
  ];

  test("do not depend on order, but on every name, shape and type", () => {
    const print = fingerprintOf(entries);
    expect(fingerprintOf(entries.toReversed())).toBe(print);
    const [w, b] = entries as [(typeof entries)[0], (typeof entries)[0]];
    const others = [
      [w],
      [w, { ...b, name: "c" }],
      [w, { ...b, shape: [1, 4] }],
      [w, { ...b, dtype: "float16" }],
      [w, b, b],
    ];
    expect(new Set([print, ...others.map(fingerprintOf)]).size).toBe(6);
  });

  test("are 64-bit FNV-1a", () => {
    // The published offset basis, and the hash of the bytes `["w",[3,4],"float32"]` worked out in Python.
    expect(fingerprintOf([])).toBe("cbf29ce484222325");
    expect(fingerprintOf(entries.slice(0, 1))).toBe("2c18b91527fb3a00");
  });
});
