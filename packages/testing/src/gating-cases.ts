import { defineGroups, type GroupSet, randomGenerator } from "@dgate/core";
import type { PlainFactors } from "./reference-gating.ts";

/** A group set to run the gating algebra on. */
export interface GatingCase {
  readonly name: string;
  readonly set: GroupSet;
}

const irregular = [0, 0, 1, -1, 2, 2, 2, 1, -1, 0, 3, 3];

/** Every kind of layout, coupled tensors, ungated elements and group weights. */
export const gatingCases: readonly GatingCase[] = [
  { name: "rows", set: defineGroups([{ name: "w", shape: [3, 4], layout: { kind: "axis", axis: 0 } }]) },
  {
    name: "columns, √p weights",
    set: defineGroups([{ name: "w", shape: [3, 4], layout: { kind: "axis", axis: 1 } }], {
      weights: "sqrt-size",
    }),
  },
  {
    name: "middle axis of a filter bank",
    set: defineGroups([{ name: "w", shape: [2, 3, 2, 2], layout: { kind: "axis", axis: 1 } }]),
  },
  {
    name: "two axes, custom weights",
    set: defineGroups([{ name: "w", shape: [2, 3, 2], layout: { kind: "axes", axes: [0, 2] } }], {
      weights: [1, 0, 2, 0.5],
    }),
  },
  {
    name: "blocks of the last axis",
    set: defineGroups([{ name: "w", shape: [3, 6], layout: { kind: "blocks", axis: 1, blockSize: 2 } }]),
  },
  {
    name: "blocks of the first axis",
    set: defineGroups([{ name: "w", shape: [6, 2], layout: { kind: "blocks", axis: 0, blockSize: 3 } }]),
  },
  { name: "whole tensor", set: defineGroups([{ name: "w", shape: [2, 3], layout: { kind: "tensor" } }]) },
  {
    name: "single elements",
    set: defineGroups([{ name: "w", shape: [2, 3], layout: { kind: "elements" } }]),
  },
  {
    name: "assignment with ungated elements",
    set: defineGroups(
      [{ name: "w", shape: [3, 4], layout: { kind: "assignment", groups: 4, assignment: irregular } }],
      {
        weights: "sqrt-size",
      },
    ),
  },
  {
    name: "interleaved indices of the last axis, one ungated",
    set: defineGroups([
      {
        name: "w",
        shape: [2, 5],
        layout: { kind: "indices", axis: 1, groups: 2, assignment: [0, 1, -1, 0, 1] },
      },
    ]),
  },
  {
    name: "interleaved indices of a middle axis, √p weights",
    set: defineGroups(
      [
        {
          name: "w",
          shape: [2, 4, 3],
          layout: { kind: "indices", axis: 1, groups: 3, assignment: [2, 0, 1, 0] },
        },
      ],
      { weights: "sqrt-size" },
    ),
  },
  {
    name: "a neuron's column and its bias",
    set: defineGroups([
      { name: "kernel", shape: [3, 4], layout: { kind: "axis", axis: 1 } },
      { name: "bias", shape: [4], layout: { kind: "elements" } },
    ]),
  },
  {
    name: "a head's V columns and O rows, √p weights",
    set: defineGroups(
      [
        { name: "v", shape: [3, 4], layout: { kind: "blocks", axis: 1, blockSize: 2 } },
        { name: "o", shape: [4, 3], layout: { kind: "blocks", axis: 0, blockSize: 2 } },
      ],
      { weights: "sqrt-size" },
    ),
  },
  {
    name: "one element",
    set: defineGroups([{ name: "w", shape: [1, 1], layout: { kind: "axis", axis: 1 } }]),
  },
];

/** Seeded normal factors for a group set of this depth; gate values stay away from 0. */
export function caseFactors(set: GroupSet, depth: number, seed = 1): PlainFactors {
  const random = randomGenerator(seed);
  const draw = (size: number): number[] => Array.from({ length: size }, () => random.normal());
  const primary = set.members.map(({ shape }) => draw(shape.reduce((a, b) => a * b, 1)));
  const gates = Array.from({ length: depth - 1 }, () => draw(set.groups).map((v) => v + Math.sign(v) * 0.25));
  return { primary, gates };
}
