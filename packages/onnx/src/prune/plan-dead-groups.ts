import {
  type DeadGroupOptions,
  type DeadGroups,
  findDeadGroups,
  makePlan,
  mergePlans,
  type PlannedAxis,
  type PrunePlan,
} from "@dgate/core";
import { indicesOf } from "../coupling/analyse.ts";
import type { FoldedGroups } from "../gating/fold-gates.ts";
import type { GateMember } from "../gating/gate-sets.ts";
import type { Site, SiteKind } from "../sites/site.ts";
import { chooseSites } from "../sites/choose-sites.ts";
import { planFrom } from "./plan-from.ts";

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
 * @throws DgateError `OPTION` for a threshold out of range, `DATA` for norms that are not finite, else as `planFrom`
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
  const kept = Object.fromEntries(
    decisions.flatMap((decision) => decision.sites.map((name) => [name, decision.kept])),
  );
  const own = planFrom(sites, { kept, biases });
  const planned = new Set(own.axes.map(({ tensor, axis }) => `${axis} ${tensor}`));
  const others = candidates.flatMap(({ members }, c) =>
    members
      .filter(({ tensor, axis }) => !planned.has(`${axis} ${tensor}`))
      .flatMap((member) => plannedMember(sites, member, decisions[c]!)),
  );
  const { fingerprint } = own;
  const plan = mergePlans([own, ...others.map((axis) => makePlan({ fingerprint, axes: [axis] }))]);
  return { plan, decisions };
}

/** The dead slices of a weight that is in the groups but not a site's own. */
function plannedMember(
  sites: readonly Site[],
  { tensor, axis, places }: GateMember,
  { dead, sites: [site] }: DeadGroupDecision,
): PlannedAxis[] {
  const slices = sites.flatMap((each) => [each, ...each.coupled]);
  const size = slices.find((slice) => slice.tensor === tensor && slice.axis === axis)?.axisSize;
  if (size === undefined || dead.length === 0) return [];
  const gone = new Set(dead.flatMap((group) => places.flatMap((place) => indicesOf(place, group))));
  const kept = Array.from({ length: size }, (_, index) => index).filter((index) => !gone.has(index));
  // An axis that goes as a whole belongs to a layer: one group, as `makePlan` has it.
  if (kept.length === 0) return [{ site: site!, tensor, axis, size: 1, blockSize: size, kept }];
  return [{ site: site!, tensor, axis, size, blockSize: 1, kept }];
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
