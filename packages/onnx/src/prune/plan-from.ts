import { DgateError, makePlan, type PlannedAxis, type PrunePlan, randomGenerator } from "@dgate/core";
import { indicesOf, type Occurrence } from "../coupling/analyse.ts";
import type { Site, SiteKind } from "../sites/site.ts";

/** How many groups of each site stay: give `keep` or `sparsity`, or scores with a threshold of your own through `kept`. */
export interface PlanOptions {
  /** Fraction of the groups that stays, above 0 and up to 1. */
  readonly keep?: number;
  /** Fraction of the groups that goes, `1 − keep`. */
  readonly sparsity?: number;
  /** Group indices that stay, by site name; sites that are not named stay whole. */
  readonly kept?: Readonly<Record<string, readonly number[]>>;
  /**
   * What decides which groups stay: the L2 norm of their weights (default), chance (a baseline), or scores by site name
   * (larger stays).
   */
  readonly criterion?: "l2" | "random" | Readonly<Record<string, ArrayLike<number>>>;
  /** Seed of `random`. */
  readonly seed?: number;
  /** Sites to prune, by name or kind. By default all that can be but `inputs`; of heads × head dim, the heads. */
  readonly sites?: readonly (SiteKind | (string & {}))[];
  /** At least this many groups of a site stay (default 1). */
  readonly minimum?: number;
  /** Whether biases and normalisation scales of the groups go with them (default true), so that they emit nothing at all. */
  readonly biases?: boolean;
}

/**
 * A plan for the sites of a model: the strongest groups of each site stay. Sites that share their channels (a residual
 * stream) are decided together, by the sum of their squared scores.
 *
 * @throws DgateError `OPTION` for a ratio out of range, `NO_MATCH` if no site is left to prune, `GROUP` for scores or indices
 * that do not fit a site
 */
export function planFrom(sites: readonly Site[], options: PlanOptions = {}): PrunePlan {
  const { minimum = 1, biases = true } = options;
  const chosen = chooseSites(sites, options);
  const keep = options.kept ? 1 : keepRatio(options);
  const streams = new Map<number, Site[]>();
  for (const site of chosen) streams.set(site.channel, [...(streams.get(site.channel) ?? []), site]);
  const random = randomGenerator(options.seed ?? 1);
  const axes = new PlanAxes();
  for (const stream of streams.values()) {
    const groups = stream[0]!.groups;
    const count = Math.min(groups, Math.max(minimum, Math.round(groups * keep)));
    const scores = (site: Site): ArrayLike<number> => scoresOf(site, options, () => random.next());
    const kept = options.kept ? givenGroups(stream, options.kept) : strongest(stream, scores, count);
    if (kept.length === groups) continue;
    for (const site of stream) axes.add(site, kept, biases);
  }
  return makePlan({ fingerprint: chosen[0]!.fingerprint, axes: axes.planned() });
}

function chooseSites(sites: readonly Site[], { sites: wanted, kept }: PlanOptions): Site[] {
  const names = wanted ?? (kept && Object.keys(kept));
  for (const name of names ?? []) {
    const matching = sites.filter((site) => site.name === name || site.kind === name);
    if (matching.length === 0) {
      throw new DgateError(
        "NO_MATCH",
        `plan: no site is called "${name}" or of that kind; there are ${sites.map((site) => site.name).join(", ") || "none"}.`,
      );
    }
    const reason = matching.find((site) => site.name === name)?.prunable;
    if (typeof reason === "string")
      throw new DgateError("UNSUPPORTED", `plan: site "${name}" cannot be pruned: ${reason}.`);
  }
  const open = sites.filter(({ prunable }) => prunable === true);
  const chosen = open.filter((site) =>
    names ? names.includes(site.name) || names.includes(site.kind) : isDefault(site, open),
  );
  if (chosen.length === 0) {
    const reasons = sites.flatMap(({ name, prunable }) =>
      prunable === true ? [] : [`${name}: ${prunable}`],
    );
    throw new DgateError(
      "NO_MATCH",
      `plan: no site of the model can be pruned. ${reasons.slice(0, 3).join("; ")}`,
    );
  }
  return chosen;
}

const onRequest: ReadonlySet<SiteKind> = new Set(["inputs", "queries", "headDims", "layers"]);

/**
 * All but what is pruned on request only; of sites on the same indices of an axis (groups × channels) the outermost one. Sites
 * side by side, the runs that a Split or a Pad makes of an axis, do not compete.
 */
function isDefault(site: Site, open: readonly Site[]): boolean {
  if (onRequest.has(site.kind)) return false;
  const own = new Set(indicesOfSite(site));
  const first = open.find(
    (other) =>
      other === site ||
      (other.tensor === site.tensor &&
        other.axis === site.axis &&
        !onRequest.has(other.kind) &&
        indicesOfSite(other).some((at) => own.has(at))),
  );
  return first === site;
}

function indicesOfSite({ groups, places }: Site): number[] {
  return places.flatMap((place) =>
    Array.from({ length: groups }, (_, group) => indicesOf(place, group)).flat(),
  );
}

function keepRatio({ keep, sparsity }: PlanOptions): number {
  const ratio = keep ?? (sparsity === undefined ? undefined : 1 - sparsity);
  if (ratio === undefined || (keep !== undefined && sparsity !== undefined)) {
    throw new DgateError(
      "OPTION",
      "plan: give either keep or sparsity, as a fraction of the groups of each site.",
    );
  }
  if (!(ratio > 0 && ratio <= 1)) {
    throw new DgateError(
      "OPTION",
      `plan: keep must be above 0 and at most 1 (sparsity from 0 to below 1), got keep = ${ratio}.`,
    );
  }
  return ratio;
}

function scoresOf(site: Site, { criterion = "l2" }: PlanOptions, draw: () => number): ArrayLike<number> {
  if (criterion === "l2") return site.norms();
  if (criterion === "random") return Array.from({ length: site.groups }, draw);
  const scores = criterion[site.name] ?? site.norms();
  if (scores.length !== site.groups) {
    throw new DgateError(
      "GROUP",
      `plan: site "${site.name}" has ${site.groups} groups, got ${scores.length} scores.`,
    );
  }
  return scores;
}

/** Indices of the `count` groups with the largest sum of squared scores, ascending; earlier ones win ties. */
function strongest(
  stream: readonly Site[],
  scores: (site: Site) => ArrayLike<number>,
  count: number,
): number[] {
  const total = new Float64Array(stream[0]!.groups);
  for (const site of stream) {
    const own = scores(site);
    total.forEach((_, j) => {
      const score = own[j]!;
      if (Number.isNaN(score))
        throw new DgateError("DATA", `plan: the score of group ${j} of site "${site.name}" is NaN.`);
      total[j]! += score * Math.abs(score);
    });
  }
  const order = Array.from(total, (_, j) => j).sort((a, b) => total[b]! - total[a]! || a - b);
  return order.slice(0, count).sort((a, b) => a - b);
}

/** Groups that every named site of a stream keeps; `makePlan` checks their range. */
function givenGroups(stream: readonly Site[], kept: Readonly<Record<string, readonly number[]>>): number[] {
  const lists = stream.flatMap((site) => (kept[site.name] ? [new Set(kept[site.name])] : []));
  for (const site of stream) {
    const bad = kept[site.name]?.find(
      (index) => !(Number.isInteger(index) && index >= 0 && index < site.groups),
    );
    if (bad !== undefined) {
      throw new DgateError(
        "GROUP",
        `plan: site "${site.name}" has ${site.groups} groups (0 to ${site.groups - 1}), not ${bad}.`,
      );
    }
  }
  const all = Array.from({ length: stream[0]!.groups }, (_, j) => j);
  return all.filter((j) => lists.every((list) => list.has(j)));
}

/** A head goes with its rows of the output projection: a cache may hold anything in its place. */
const ofHeads = ({ kind }: Site): boolean => kind === "heads" || kind === "queries";

/** An axis of a tensor and what goes of it. */
interface AxisEntry {
  readonly sites: string[];
  readonly slice: AxisSlice;
  readonly groups: number;
  readonly dead: Set<number>;
}

interface AxisSlice {
  readonly tensor: string;
  readonly axis: number;
  readonly axisSize: number;
  readonly places: readonly Occurrence[];
}

/** Collects what goes of each axis; an axis may hold several sites (groups × channels), and a bias belong to several. */
class PlanAxes {
  readonly #axes = new Map<string, AxisEntry>();

  add(site: Site, kept: readonly number[], biases: boolean): void {
    const stay = new Set(kept);
    const dead = Array.from({ length: site.groups }, (_, j) => j).filter((j) => !stay.has(j));
    this.#addSlice(site, site, dead);
    if (!biases) return;
    for (const slice of site.coupled) {
      if (slice.role === "parameter" || (ofHeads(site) && slice.role !== "statistics"))
        this.#addSlice(site, slice, dead);
    }
  }

  #addSlice(site: Site, slice: AxisSlice, dead: readonly number[]): void {
    const key = `${slice.axis} ${slice.tensor}`;
    const entry: AxisEntry = this.#axes.get(key) ?? {
      sites: [],
      slice,
      groups: site.groups,
      dead: new Set(),
    };
    this.#axes.set(key, entry);
    // A bias that layers of a stream share is named after the first; a weight with several sites after all of them.
    const own = slice.tensor === site.tensor;
    if (entry.sites.length === 0 || (own && !entry.sites.includes(site.name))) entry.sites.push(site.name);
    for (const group of dead) {
      for (const place of slice.places) for (const at of indicesOf(place, group)) entry.dead.add(at);
    }
  }

  planned(): PlannedAxis[] {
    return [...this.#axes.values()].map(({ sites, slice, groups, dead }) => {
      const { tensor, axis, axisSize } = slice;
      const [place, other] = slice.places;
      // Groups that are runs of the whole axis are planned as such; others index by index.
      const runs = !other && place?.offset === 0 && place.stride * groups === axisSize;
      const blockSize = runs ? place.stride : 1;
      const all = Array.from({ length: axisSize / blockSize }, (_, at) => at);
      const kept = all.filter((at) =>
        Array.from({ length: blockSize }, (_, i) => i).some((i) => !dead.has(at * blockSize + i)),
      );
      return { site: sites.join(" + "), tensor, axis, size: axisSize / blockSize, blockSize, kept };
    });
  }
}
