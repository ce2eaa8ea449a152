import type { PlannedAxis, PrunePlan } from "@dgate/core";
import { type Coupling, indicesOf, keptIndices, occurrences, type Removal } from "../coupling/analyse.ts";
import type { Space } from "../coupling/space.ts";
import { deadIndices } from "./mask.ts";

/** What is left of a site. */
export interface RemovedGroups {
  readonly site: string;
  readonly groups: number;
  readonly kept: number;
}

/**
 * Groups of each site of a plan, and how many are left. A plan lists a site's weight, its biases and more, and a packed weight
 * index by index; the groups are those of the channel space that the plan cuts.
 */
export function removedGroups(plan: PrunePlan, coupling: Coupling, removal: Removal): RemovedGroups[] {
  const found = new Map<string, RemovedGroups>();
  for (const planned of plan.axes) {
    const entry = groupsOf(planned, coupling, removal);
    const before = found.get(entry.site);
    // The finest account of a site is in indices, of a bias that several sites share; the coarsest is in its groups.
    if (!before || entry.groups < before.groups) found.set(entry.site, entry);
    else if (entry.groups === before.groups && entry.kept > before.kept) found.set(entry.site, entry);
  }
  return [...found.values()];
}

function groupsOf(planned: PlannedAxis, { graph, axesOf }: Coupling, removal: Removal): RemovedGroups {
  const { site, tensor, axis, size, blockSize } = planned;
  const value = graph.value(tensor);
  const space = value && axesOf(value)?.[axis];
  // The tensor went with a dead branch.
  if (!space) return { site, groups: size, kept: 0 };
  const [leaf, other] = size > 1 ? plannedLeaves(space, planned) : [];
  if (leaf?.size !== undefined && !other) {
    return { site, groups: leaf.size, kept: leaf.size - (removal.get(leaf)?.size ?? 0) };
  }
  const kept = keptIndices(space, removal);
  const blocks = kept && new Set(kept.map((index) => Math.floor(index / blockSize)));
  return { site, groups: size, kept: blocks?.size ?? size };
}

/** The leaves of an axis of which a plan lets whole indices go; none if it lets others go besides. */
function plannedLeaves(axis: Space, planned: PlannedAxis): Space[] {
  const dead = new Set(deadIndices(planned));
  const covered = new Set<number>();
  const leaves = axis.leaves().filter((leaf) => {
    const places = occurrences(axis, leaf);
    const whole = Array.from({ length: leaf.size ?? 0 }, (_, index) =>
      places.flatMap((place) => indicesOf(place, index)),
    ).filter((indices) => indices.every((at) => dead.has(at)));
    for (const at of whole.flat()) covered.add(at);
    return whole.length > 0;
  });
  return covered.size === dead.size ? leaves : [];
}
