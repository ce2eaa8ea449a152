import { fc, gatedSets } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { arrayOps } from "../arrays/array-ops.ts";
import { type NdArray, ndArray } from "../arrays/nd-array.ts";
import { randomGenerator } from "../arrays/random.ts";
import { defineGroups, type GroupSet } from "../groups/group-set.ts";
import { collapse, type Factors } from "./factors.ts";
import { initialFactors } from "./initial.ts";
import { penaltyGap } from "./penalty.ts";

const ops = arrayOps("float64");

function wrap(set: GroupSet, factors: Factors<Float64Array>): Factors<NdArray> {
  return {
    primary: factors.primary.map((x, m) => ndArray(x, set.members[m]!.shape)),
    gates: factors.gates.map((x) => ndArray(x, [set.groups])),
  };
}

describe("initial factors", () => {
  test.each(["ones", "balanced"] as const)("scheme %s leaves the given weights as they are", (scheme) => {
    fc.assert(
      fc.property(gatedSets(), ({ set, factors, depth }) => {
        const weights = factors.primary.map((x) => Float64Array.from(x.data));
        const start = wrap(set, initialFactors(set, weights, { depth, scheme }));
        expect(start.gates.length).toBe(depth - 1);
        for (const [m, w] of collapse(ops, set, start).entries()) expect(w).toBeAllClose(weights[m]!);
      }),
    );
  });

  test("ones has gates one; balanced closes the gap and is the default", () => {
    const set = defineGroups([{ name: "w", shape: [2, 3], layout: { kind: "axis", axis: 1 } }]);
    const weights = [Float64Array.of(1, -2, 3, -4, 5, 6)];
    const ones = initialFactors(set, weights, { depth: 3, scheme: "ones" });
    expect(ones.gates).toEqual([Float64Array.of(1, 1, 1), Float64Array.of(1, 1, 1)]);
    expect(ones.primary).toEqual(weights);
    expect(ones.primary[0]).not.toBe(weights[0]);
    expect(penaltyGap(ops, set, wrap(set, ones), 1).data[0]).toBeGreaterThan(1);
    const balanced = wrap(set, initialFactors(set, weights, { depth: 3 }));
    expect(Math.abs(penaltyGap(ops, set, balanced, 1).data[0]!)).toBeLessThan(1e-12);
  });

  test("Float32Array in, Float32Array out, D − 1 arrays of their own", () => {
    const set = defineGroups([{ name: "w", shape: [2], layout: { kind: "elements" } }]);
    const { primary, gates } = initialFactors(set, [Float32Array.of(1, 2)], { depth: 4 });
    for (const x of [...primary, ...gates]) expect(x).toBeInstanceOf(Float32Array);
    expect(new Set([...primary, ...gates]).size).toBe(4);
  });

  test.each([2, 3, 4, 6])("variance-matched keeps the variance of the weights, D = %i", (depth) => {
    const random = randomGenerator(4);
    const [groups, size, deviation] = [4000, 5, 0.05];
    const set = defineGroups([{ name: "w", shape: [groups, size], layout: { kind: "axis", axis: 0 } }]);
    const weights = [Float64Array.from({ length: groups * size }, () => deviation * random.normal())];
    const start = initialFactors(set, weights, { depth, scheme: "variance-matched", random });
    const [collapsed] = collapse(ops, set, wrap(set, start)) as [NdArray];
    const variance = ops.sum(ops.square(collapsed)).data[0]! / (groups * size);
    expect(variance / deviation ** 2).toBeGreaterThan(0.93);
    expect(variance / deviation ** 2).toBeLessThan(1.07);
    // Gates carry an equal share of a group's expected norm and stay away from zero.
    const share = (Math.sqrt(size) * deviation) ** (1 / depth);
    for (const gate of start.gates) {
      const moduli = gate.map(Math.abs);
      expect(Math.min(...moduli) / share).toBeGreaterThan(0.45);
      expect(Math.sqrt(moduli.reduce((sum, v) => sum + v * v, 0) / groups) / share).toBeCloseTo(1, 1);
      expect(gate.filter((v) => v < 0).length / groups).toBeCloseTo(0.5, 1);
    }
  });

  test("variance-matched factors of zero weights are finite", () => {
    const set = defineGroups([{ name: "w", shape: [3], layout: { kind: "elements" } }]);
    const start = initialFactors(set, [new Float64Array(3)], {
      depth: 3,
      scheme: "variance-matched",
      random: randomGenerator(1),
    });
    for (const x of [...start.primary, ...start.gates]) expect(x.every(Number.isFinite)).toBe(true);
  });

  test("refuses a missing generator, an unknown scheme, a wrong depth and wrong arrays", () => {
    const set = defineGroups([{ name: "w", shape: [2], layout: { kind: "elements" } }]);
    const weights = [Float64Array.of(1, 2)];
    expect(() => initialFactors(set, weights, { depth: 3, scheme: "variance-matched" })).toThrow(
      "needs a random",
    );
    expect(() => initialFactors(set, weights, { depth: 3, scheme: "zeros" as "ones" })).toThrow(
      'scheme is "zeros"',
    );
    expect(() => initialFactors(set, weights, { depth: 1 })).toThrow("depth is 1");
    expect(() => initialFactors(set, [], { depth: 2 })).toThrow("0 arrays for 1 members");
    expect(() => initialFactors(set, [Float64Array.of(1)], { depth: 2 })).toThrow("holds 2 values, got 1");
  });
});
