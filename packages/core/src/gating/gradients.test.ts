import { fc, type GatedSet, gatedSets, gradientError } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { arrayOps } from "../arrays/array-ops.ts";
import { type NdArray, ndArray } from "../arrays/nd-array.ts";
import { directSubgradient } from "../baseline/subgradient.ts";
import { collapse, type Factors, factorGradients, gateProduct } from "./factors.ts";
import {
  frozenPenalty,
  frozenPenaltyGradient,
  smoothPenalty,
  smoothPenaltyGradient,
  sparsePenalty,
} from "./penalty.ts";

const ops = arrayOps("float64");

/** All factors as a list of arrays, and back. */
function flatten({ primary, gates }: Factors<NdArray>): Float64Array[] {
  return [...primary, ...gates].map((x) => Float64Array.from(x.data));
}

function rebuild(like: Factors<NdArray>, values: readonly Float64Array[]): Factors<NdArray> {
  const wrap = (x: NdArray, i: number): NdArray => ndArray(values[i]!, x.shape);
  return {
    primary: like.primary.map(wrap),
    gates: like.gates.map((x, d) => wrap(x, like.primary.length + d)),
  };
}

/** Error of a claimed gradient with respect to all factors. */
function errorOf(
  { factors }: GatedSet,
  f: (factors: Factors<NdArray>) => number,
  gradient: Factors<NdArray>,
): number {
  return gradientError((values) => f(rebuild(factors, values)), flatten(factors), flatten(gradient));
}

/** L(w) = Σ sin(w): every element of its gradient is another number. */
function sineLoss(weights: readonly NdArray[]): number {
  return weights.flatMap(({ data }) => Array.from(data, Math.sin)).reduce((a, b) => a + b, 0);
}

describe("gradients agree with central differences", () => {
  test("of the smooth penalty", () => {
    fc.assert(
      fc.property(gatedSets(), (gated) => {
        const { set, factors, lambda } = gated;
        const penalty = (x: Factors<NdArray>): number => smoothPenalty(ops, set, x, lambda).data[0]!;
        expect(errorOf(gated, penalty, smoothPenaltyGradient(ops, set, factors, lambda))).toBeLessThan(1e-8);
      }),
    );
  });

  test("of a loss of the collapsed weights, by the chain rule", () => {
    fc.assert(
      fc.property(gatedSets(), (gated) => {
        const { set, factors } = gated;
        const weights = collapse(ops, set, factors);
        const slopes = weights.map((w) => ndArray(Float64Array.from(w.data, Math.cos), w.shape));
        const gradient = factorGradients(ops, set, factors, slopes);
        expect(errorOf(gated, (x) => sineLoss(collapse(ops, set, x)), gradient)).toBeLessThan(1e-7);
      }),
    );
  });

  test("of the penalty of frozen weights", () => {
    fc.assert(
      fc.property(gatedSets(), ({ set, factors: { gates }, lambda }) => {
        const wrap = (values: readonly Float64Array[]): NdArray[] =>
          values.map((x) => ndArray(x, [set.groups]));
        const penalty = (values: readonly Float64Array[]): number =>
          frozenPenalty(ops, wrap(values), lambda, set.weights).data[0]!;
        const slopes = frozenPenaltyGradient(ops, gates, lambda, set.weights);
        const point = gates.map((x) => Float64Array.from(x.data));
        const error = gradientError(
          penalty,
          point,
          slopes.map((x) => x.data),
        );
        expect(error).toBeLessThan(1e-8);
      }),
    );
  });

  test("of the sparse penalty, away from zero groups", () => {
    fc.assert(
      fc.property(gatedSets(), ({ set, factors, depth, lambda }) => {
        const point = factors.primary.map((x) => Float64Array.from(x.data, (v) => v + Math.sign(v)));
        const tensors = (values: readonly Float64Array[]): NdArray[] =>
          set.members.map(({ shape }, m) => ndArray(values[m]!, shape));
        const penalty = (values: readonly Float64Array[]): number =>
          sparsePenalty(ops, set, tensors(values), lambda, depth).data[0]!;
        const slopes = directSubgradient(ops, set, tensors(point), lambda, 2 / depth);
        expect(
          gradientError(
            penalty,
            point,
            slopes.map((x) => x.data),
          ),
        ).toBeLessThan(1e-8);
      }),
    );
  });
});

describe("the gating algebra refuses", () => {
  const shape = [2];
  const set = {
    groups: 2,
    members: [{ name: "w", shape, layout: { kind: "elements" } as const }],
    sizes: [1, 1],
    weights: [1, 1],
  };
  const w = ops.constant([1, 2], shape);
  const factors = { primary: [w], gates: [w] };

  test("factors without gates", () => {
    expect(() => collapse(ops, set, { primary: [w], gates: [] })).toThrow("depth is 1");
  });

  test("factors of another group set", () => {
    expect(() => collapse(ops, set, { primary: [], gates: [w] })).toThrow("0 primary weights for 1 members");
  });

  test.each([-1, Number.NaN, Infinity])("λ = %f", (lambda) => {
    expect(() => smoothPenalty(ops, set, factors, lambda)).toThrow(`lambda is ${lambda}`);
    expect(() => smoothPenaltyGradient(ops, set, factors, lambda)).toThrow(`lambda is ${lambda}`);
    expect(() => sparsePenalty(ops, set, [w], lambda, 2)).toThrow(`lambda is ${lambda}`);
    expect(() => directSubgradient(ops, set, [w], lambda, 1)).toThrow(`lambda is ${lambda}`);
  });

  test.each([1, 0, -2, 2.5, Number.NaN])("depth %f", (depth) => {
    expect(() => sparsePenalty(ops, set, [w], 1, depth)).toThrow(`depth is ${depth}`);
  });

  test("a product of no gates is one", () => {
    expect(gateProduct(ops, [])).toEqual(ops.scalar(1));
  });
});
