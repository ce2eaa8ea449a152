import { makePlan, type PlannedAxis, type PrunePlan } from "@dgate/core";
import { indicesOf, type Occurrence } from "../coupling/analyse.ts";
import type { CoupledSlice, Site } from "../sites/site.ts";
import type { Stream } from "./plan-streams.ts";

/** The plan in which the groups `dead[i]` of stream i go; sites whose groups all stay are not in it. */
export function planOf(
  streams: readonly Stream[],
  dead: readonly (readonly number[])[],
  biases: boolean,
): PrunePlan {
  const axes = new PlanAxes();
  streams.forEach(({ sites, layers }, i) => {
    const groups = dead[i]!;
    if (groups.length === 0) return;
    if (layers) for (const group of groups) axes.add(sites[group]!, [0], biases);
    else for (const site of sites) axes.add(site, groups, biases);
  });
  return makePlan({ fingerprint: streams[0]!.sites[0]!.fingerprint, axes: axes.planned() });
}

/** An axis of a tensor and what goes of it. */
interface AxisEntry {
  readonly sites: string[];
  readonly slice: AxisSlice;
  readonly groups: number;
  readonly dead: Set<number>;
  /** The whole tensor belongs to a layer that goes. */
  gone: boolean;
}

interface AxisSlice {
  readonly tensor: string;
  readonly axis: number;
  readonly axisSize: number;
  readonly places: readonly Occurrence[];
}

/** Collects what goes of each axis; an axis may hold several sites (groups × channels), and a bias belong to several. */
export class PlanAxes {
  readonly #axes = new Map<string, AxisEntry>();

  add(site: Site, dead: readonly number[], biases: boolean): void {
    this.addSlice(site, site, dead);
    for (const slice of site.coupled) if (goesWith(site, slice, biases)) this.addSlice(site, slice, dead);
  }

  /** The indices of dead groups on one axis. */
  addSlice(site: Site, slice: AxisSlice, dead: readonly number[]): void {
    const key = `${slice.axis} ${slice.tensor}`;
    const entry: AxisEntry = this.#axes.get(key) ?? {
      sites: [],
      slice,
      groups: site.groups,
      dead: new Set(),
      gone: false,
    };
    this.#axes.set(key, entry);
    // A bias that layers of a stream share is named after the first; a weight with several sites after all of them.
    const own = slice.tensor === site.tensor;
    if (entry.sites.length === 0 || (own && !entry.sites.includes(site.name))) entry.sites.push(site.name);
    if (site.kind === "layers") entry.gone = true;
    for (const group of dead) {
      for (const place of slice.places) for (const at of indicesOf(place, group)) entry.dead.add(at);
    }
  }

  planned(): PlannedAxis[] {
    return [...this.#axes.values()].map(({ sites, slice, groups, dead, gone }) => {
      const { tensor, axis, axisSize } = slice;
      const site = sites.join(" + ");
      if (gone) return { site, tensor, axis, size: 1, blockSize: axisSize, kept: [] };
      const [place, other] = slice.places;
      // Groups that are runs of the whole axis are planned as such, unless another site takes parts of them; others index by index.
      const regular = !other && place?.offset === 0 && place.stride * groups === axisSize;
      const blockSize = regular && areWhole(dead, place.stride) ? place.stride : 1;
      const all = Array.from({ length: axisSize / blockSize }, (_, at) => at);
      const kept = all.filter((at) =>
        Array.from({ length: blockSize }, (_, i) => i).some((i) => !dead.has(at * blockSize + i)),
      );
      return { site, tensor, axis, size: axisSize / blockSize, blockSize, kept };
    });
  }
}

/** Whether each run of `size` indices is in the set as a whole or not at all. */
function areWhole(indices: ReadonlySet<number>, size: number): boolean {
  const counts = new Map<number, number>();
  for (const index of indices) {
    const run = Math.floor(index / size);
    counts.set(run, (counts.get(run) ?? 0) + 1);
  }
  return [...counts.values()].every((count) => count === size);
}

/**
 * Whether a coupled slice is planned with a site. Of heads and their dims everything is, the rows of the output projection too: a key–value
 * cache that is fed may hold anything for a head whose keys and values are zero.
 */
function goesWith({ kind }: Site, { role }: CoupledSlice, biases: boolean): boolean {
  if (kind === "heads" || kind === "queries" || kind === "headDims")
    return role !== "statistics" && (biases || role !== "parameter");
  return biases && role === "parameter";
}
