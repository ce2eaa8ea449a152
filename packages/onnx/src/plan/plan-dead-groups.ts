import {
  DgateError,
  type DeadGroupOptions,
  type DeadGroups,
  findDeadGroups,
  makePlan,
  type PrunePlan,
} from "@dgate/core";
import type { FoldedGroups } from "../gating/fold-gates.ts";
import type { GateMember } from "../gating/gate-sets.ts";
import type { Site, SiteKind } from "../sites/site.ts";
import { chooseSites } from "../sites/choose-sites.ts";
import { PlanAxes } from "./plan-axes.ts";

/** Options of `planDeadGroups`: the threshold, as `findDeadGroups` of `@dgate/core` takes it, and what it is held against. */
export interface DeadGroupPlanOptions extends DeadGroupOptions {
  /** What `foldGates` gave: its sites are pruned, and its norms decide, over all weights that are in a group. */
  readonly groups?: readonly FoldedGroups[];
  /** Without `groups`: the sites to prune, by name or kind, as in `planFrom`; the norms of their own weights decide. */
  readonly sites?: readonly (SiteKind | (string & {}))[];
  /**
   * Whether biases and normalisation scales go with dead groups that they are not in. By default not: what a dead group still
   * emits is folded into what follows, and the pruned model computes what the folded one does.
   */
  readonly biases?: boolean;
}

/** Which groups of sites that share their channels are dead. */
export interface DeadGroupDecision extends DeadGroups {
  readonly sites: readonly string[];
  readonly kind: SiteKind;
  readonly groups: number;
}

type Candidates = Pick<FoldedGroups, "sites" | "kind" | "norms" | "members">;

/**
 * A plan that removes the groups whose norm is under the threshold, with all weights that are in them: the step from learned
 * gates to a smaller model. At least one group of a site stays (`keepAtLeast`); a whole layer may go.
 *
 * @param sites of the folded model
 * @returns the plan and, per site or per sites on the same channels, the decision: dead groups, τ, how many groups lie near it
 * @throws DgateError `OPTION` for a threshold out of range, `DATA` for norms that are not finite, `NO_MATCH` if no site can be
 * pruned, `GROUP` for groups of another model
 */
export function planDeadGroups(
  sites: readonly Site[],
  options: DeadGroupPlanOptions = {},
): { readonly plan: PrunePlan; readonly decisions: readonly DeadGroupDecision[] } {
  const { groups, biases = false, sites: wanted, ...threshold } = options;
  const candidates: readonly Candidates[] = groups ?? ownGroups(sites, wanted);
  const decisions = candidates.map(({ norms, kind, sites: names }): DeadGroupDecision => {
    const keepAtLeast = threshold.keepAtLeast ?? (kind === "layers" ? 0 : 1);
    return {
      ...findDeadGroups(norms, { ...threshold, keepAtLeast }),
      sites: names,
      kind,
      groups: norms.length,
    };
  });
  const chosen = chooseSites(sites, { sites: candidates.flatMap((each) => each.sites) });
  const axes = new PlanAxes();
  candidates.forEach(({ members, sites: names }, c) => {
    const { dead } = decisions[c]!;
    const own = chosen.filter(({ name }) => names.includes(name));
    if (dead.length > 0) addDead(axes, own, members, dead, biases);
  });
  // Sites that meet on an axis may kill all of it together; a plan keeps something of every axis that is no layer's.
  const planned = axes.planned().map((axis) => {
    return axis.kept.length > 0 || axis.size === 1 ? axis : { ...axis, kept: [0] };
  });
  return { plan: makePlan({ fingerprint: chosen[0]!.fingerprint, axes: planned }), decisions };
}

/**
 * Exactly the dead slices of the weights that are in the groups, and on request the biases: other weights of the same channels
 * are alive, and what they make of a constant is not lost.
 */
function addDead(
  axes: PlanAxes,
  sites: readonly Site[],
  members: readonly GateMember[],
  dead: readonly number[],
  biases: boolean,
): void {
  const slices = sites.flatMap((site) => [site, ...site.coupled]);
  for (const { tensor, axis, places } of members) {
    const size = slices.find((slice) => slice.tensor === tensor && slice.axis === axis)?.axisSize;
    if (size === undefined) {
      throw new DgateError(
        "GROUP",
        `planDeadGroups: axis ${axis} of "${tensor}" does not belong to site "${sites[0]!.name}" of these sites; ` +
          "take those of the folded model.",
      );
    }
    const own = sites.find((site) => site.tensor === tensor) ?? sites[0]!;
    axes.addSlice(own, { tensor, axis, axisSize: size, places }, dead);
  }
  if (!biases) return;
  for (const site of sites) {
    for (const slice of site.coupled) if (slice.role === "parameter") axes.addSlice(site, slice, dead);
  }
}

/** Chosen sites with their own weights, together where they are on the same channels. */
function ownGroups(sites: readonly Site[], wanted: DeadGroupPlanOptions["sites"]): Candidates[] {
  const streams = new Map<number, Site[]>();
  for (const site of chooseSites(sites, wanted ? { sites: wanted } : {})) {
    streams.set(site.channel, [...(streams.get(site.channel) ?? []), site]);
  }
  return [...streams.values()].map((stream) => {
    const squares = new Float64Array(stream[0]!.groups);
    for (const site of stream) {
      site.norms().forEach((norm, j) => {
        squares[j]! += norm * norm;
      });
    }
    return {
      sites: stream.map(({ name }) => name),
      kind: stream[0]!.kind,
      norms: squares.map(Math.sqrt),
      members: stream.map(({ tensor, axis, places }) => ({ tensor, axis, places })),
    };
  });
}
