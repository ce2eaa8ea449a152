import {
  type Factors,
  defineGroups,
  type GroupLayout,
  type GroupMember,
  type GroupSet,
  groupCount,
  type NdArray,
  ndArray,
} from "@dgate/core";
import { caseFactors, type GatingCase } from "./gating-cases.ts";
import { fc } from "./property.ts";

/** Shapes of `minRank` to `maxRank` axes, each of 1 to `maxSize` indices. */
export function shapes({
  minRank = 1,
  maxRank = 4,
  maxSize = 4,
}: {
  readonly minRank?: number;
  readonly maxRank?: number;
  readonly maxSize?: number;
} = {}): fc.Arbitrary<number[]> {
  return fc.array(fc.integer({ min: 1, max: maxSize }), { minLength: minRank, maxLength: maxRank });
}

/** Depths D of 2 to `max`. */
export function depths(max: number = 6): fc.Arbitrary<number> {
  return fc.integer({ min: 2, max });
}

/** Layouts of every kind that fit a tensor of `shape` (of at least one axis). */
export function layoutsOf(shape: readonly number[]): fc.Arbitrary<GroupLayout> {
  const axis = fc.integer({ min: 0, max: shape.length - 1 });
  const size = shape.reduce((a, b) => a * b, 1);
  return fc.oneof(
    axis.map((a): GroupLayout => ({ kind: "axis", axis: a })),
    fc.subarray(shape.map((_, a) => a)).map((axes): GroupLayout => ({ kind: "axes", axes })),
    axis.chain((a) =>
      fc
        .constantFrom(...divisors(shape[a]!))
        .map((blockSize): GroupLayout => ({ kind: "blocks", axis: a, blockSize })),
    ),
    fc.constantFrom<GroupLayout>({ kind: "tensor" }, { kind: "elements" }),
    assignments(size),
    axis.chain((a) =>
      assignments(shape[a]!).map(({ groups, assignment }): GroupLayout => {
        return { kind: "indices", axis: a, groups, assignment };
      }),
    ),
  );
}

function divisors(n: number): number[] {
  return Array.from({ length: n }, (_, k) => k + 1).filter((k) => n % k === 0);
}

/** Assignments of `size` elements to groups that all have an element; some elements may be ungated. */
function assignments(size: number): fc.Arbitrary<Extract<GroupLayout, { kind: "assignment" }>> {
  return fc.integer({ min: 1, max: size }).chain((groups) =>
    fc
      .array(fc.integer({ min: -1, max: groups - 1 }), { minLength: size - groups, maxLength: size - groups })
      .map((rest) => [...Array(groups).keys(), ...rest])
      .chain((all) => fc.shuffledSubarray(all, { minLength: size }))
      .map((assignment) => ({ kind: "assignment" as const, groups, assignment })),
  );
}

/** Group sets of one tensor, or of one tensor coupled with a vector that has an element per group. */
export function groupSets(): fc.Arbitrary<GroupSet> {
  return shapes().chain((shape) =>
    fc
      .tuple(layoutsOf(shape), fc.boolean(), fc.constantFrom("none" as const, "sqrt-size" as const))
      .map(([layout, coupled, weights]) => {
        const members: GroupMember[] = [{ name: "kernel", shape, layout }];
        const bias = groupCount(layout, shape);
        if (coupled) members.push({ name: "bias", shape: [bias], layout: { kind: "elements" } });
        return defineGroups(members, { weights });
      }),
  );
}

/** A gated group set with normal factors. */
export interface GatedSet extends Omit<GatingCase, "name"> {
  readonly depth: number;
  readonly factors: Factors<NdArray>;
  /** λ in (0, 2). */
  readonly lambda: number;
}

/** Gated group sets of any layout and depth, float64. */
export function gatedSets(): fc.Arbitrary<GatedSet> {
  return fc
    .record({
      set: groupSets(),
      depth: depths(),
      seed: fc.nat(),
      lambda: fc.double({ min: 1e-3, max: 2, noNaN: true }),
    })
    .map(({ set, depth, seed, lambda }) => ({ set, depth, lambda, factors: factorArrays(set, depth, seed) }));
}

/** Seeded normal factors as float64 arrays. */
export function factorArrays(set: GroupSet, depth: number, seed = 1): Factors<NdArray> {
  const { primary, gates } = caseFactors(set, depth, seed);
  return {
    primary: set.members.map(({ shape }, m) => ndArray(Float64Array.from(primary[m]!), shape)),
    gates: gates.map((gate) => ndArray(Float64Array.from(gate), [set.groups])),
  };
}
