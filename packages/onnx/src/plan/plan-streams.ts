import { chooseSites } from "../sites/choose-sites.ts";
import type { Site } from "../sites/site.ts";
import type { PlanOptions } from "./plan-options.ts";

/**
 * Groups that are decided together. Sites that share their channels (a residual stream) have the same groups; the `layers` of
 * a model make one stream, in which each site is a group.
 */
export interface Stream {
  readonly sites: readonly Site[];
  /** Whether each site is a group of the stream. */
  readonly layers: boolean;
  readonly groups: number;
  /** At least this many groups stay. */
  readonly least: number;
  /** The number of kept groups is a multiple of this one, or all. */
  readonly step: number;
}

/**
 * The chosen sites by what decides together.
 *
 * @throws DgateError `NO_MATCH` if no site is left, `UNSUPPORTED` if one asked for by name cannot be pruned
 */
export function streamsOf(sites: readonly Site[], options: PlanOptions): Stream[] {
  const byChannel = new Map<number | "layers", Site[]>();
  for (const site of chooseSites(sites, options)) {
    const key = site.kind === "layers" ? "layers" : site.channel;
    byChannel.set(key, [...(byChannel.get(key) ?? []), site]);
  }
  return [...byChannel].map(([key, members]): Stream => {
    const layers = key === "layers";
    const groups = layers ? members.length : members[0]!.groups;
    return {
      sites: members,
      layers,
      groups,
      least: leastOf(groups, options),
      step: layers ? 1 : stepOf(members, options),
    };
  });
}

function leastOf(groups: number, { minimum = 1, maximumSparsity = 1 }: PlanOptions): number {
  // 10 · (1 − 0.9) is a little more than 1 in floating point.
  return Math.min(groups, Math.max(minimum, Math.ceil(groups * (1 - maximumSparsity) - 1e-9)));
}

/** Groups that make whole multiples of channels on the axes of all sites. */
function stepOf(sites: readonly Site[], { align = 1 }: PlanOptions): number {
  return sites.reduce((step, { kind, blockSize }) => {
    const multiple = typeof align === "number" ? align : (align[kind] ?? 1);
    return leastCommonMultiple(step, multiple / greatestCommonDivisor(multiple, blockSize));
  }, 1);
}

function greatestCommonDivisor(a: number, b: number): number {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}

const leastCommonMultiple = (a: number, b: number): number => (a / greatestCommonDivisor(a, b)) * b;

/**
 * How many groups of a stream stay if `wanted` should: within the stream's bounds, and then the nearest multiple of its step,
 * at least one and as many as the bounds ask for. All groups are a multiple too.
 */
export function keptCount({ groups, least, step }: Stream, wanted: number): number {
  const count = Math.min(groups, Math.max(least, wanted));
  if (count === groups) return groups;
  const multiple = Math.max(Math.ceil(least / step), Math.round(count / step), 1);
  return Math.min(groups, multiple * step);
}
