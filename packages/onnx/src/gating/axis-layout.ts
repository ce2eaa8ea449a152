import { DgateError, type GroupLayout } from "@dgate/core";
import { indicesOf, maxAxisSize, type Occurrence } from "../coupling/analyse.ts";

/**
 * The layout of the groups of a site on one axis of a weight: `tensor`, `axis` or `blocks` where they are runs of the whole
 * axis, else `indices` (channels that are interleaved, strided, or on a part of the axis only).
 *
 * @param where starts the message of an error
 * @throws DgateError `GROUP` if the places are not those of `groups` disjoint groups on an axis of `axisSize` indices
 */
export function axisLayout(
  where: string,
  groups: number,
  places: readonly Occurrence[],
  axis: number,
  axisSize: number,
): GroupLayout {
  const assignment = assignIndices(where, groups, places, axisSize);
  const blockSize = axisSize / groups;
  const runs = assignment.every((group, index) => group === Math.floor(index / blockSize));
  if (!runs) return { kind: "indices", axis, groups, assignment };
  if (groups === 1) return { kind: "tensor" };
  return blockSize === 1 ? { kind: "axis", axis } : { kind: "blocks", axis, blockSize };
}

/** The group of each index of the axis, −1 for none. */
function assignIndices(
  where: string,
  groups: number,
  places: readonly Occurrence[],
  axisSize: number,
): number[] {
  const fail = (problem: string): never => {
    throw new DgateError("GROUP", `${where}: ${problem}.`);
  };
  const perGroup = places.reduce(
    (total, { loops }) => total + loops.reduce((count, loop) => count * loop.count, 1),
    0,
  );
  // Counted before anything is listed: the places may come from a file.
  if (!(groups * perGroup <= Math.min(axisSize, maxAxisSize))) {
    fail(`${groups} groups of ${perGroup} indices do not fit an axis of ${axisSize}`);
  }
  const assignment = Array.from({ length: axisSize }, () => -1);
  for (let group = 0; group < groups; group++) {
    for (const place of places) {
      for (const index of indicesOf(place, group)) {
        const taken = assignment[index];
        if (taken === undefined) fail(`group ${group} has index ${index}, the axis ends at ${axisSize - 1}`);
        if (taken !== -1) fail(`index ${index} is in the groups ${taken} and ${group}`);
        assignment[index] = group;
      }
    }
  }
  return assignment;
}
