import { type Factors, type GroupSet, ndArray, type NdArray, randomGenerator } from "@dgate/core";

/** Factors that are drawn one by one, standard normal: every group begins out of balance. */
export function factorsOutOfBalance(set: GroupSet, depth: number, seed: number): Factors<NdArray> {
  const random = randomGenerator(seed);
  const drawn = (shape: readonly number[]): NdArray =>
    ndArray(
      Float64Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal()),
      shape,
    );
  return {
    primary: set.members.map(({ shape }) => drawn(shape)),
    gates: Array.from({ length: depth - 1 }, () => drawn([set.groups])),
  };
}
