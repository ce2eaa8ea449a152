import { type DeadGroupOptions, type DeadGroups, findDeadGroups, type PrunePlan } from "@dgate/core";
import type { FoldedGroups } from "../gating/fold-gates.ts";
import type { Site, SiteKind } from "../sites/site.ts";
import { chooseSites, planFrom } from "./plan-from.ts";

/** Options of `planDeadGroups`: the threshold, as `findDeadGroups` of `@dgate/core` takes it, and what it is held against. */
export interface DeadGroupPlanOptions extends DeadGroupOptions {
  /** What `foldGates` gave: its norms decide, over all that was in a group, and its sites are those to prune. */
  readonly groups?: readonly FoldedGroups[];
  /** Without `groups`: the sites to prune, by name or kind, as in `planFrom`; the norms of their own weights decide. */
  readonly sites?: readonly (SiteKind | (string & {}))[];
  /**
   * Whether biases and normalisation scales of dead groups go with them. By default not: what a dead group still emits is
   * folded into what follows, and the pruned model computes what the folded one does.
   */
  readonly biases?: boolean;
}

/** Which groups of sites that share their channels are dead. */
export interface DeadGroupDecision extends DeadGroups {
  readonly sites: readonly string[];
  readonly kind: SiteKind;
  readonly groups: number;
}

/**
 * A plan that removes the groups whose norm is under the threshold: the step from learned gates to a smaller model. At least one
 * group of a site stays (`keepAtLeast`); a whole layer may go.
 *
 * @returns the plan and, per site or per sites on the same channels, the decision: dead groups, τ, how many groups lie near it
 * @throws DgateError `OPTION` for a threshold out of range, `DATA` for norms that are not finite, else as `planFrom`
 */
export function planDeadGroups(
  sites: readonly Site[],
  options: DeadGroupPlanOptions = {},
): { readonly plan: PrunePlan; readonly decisions: readonly DeadGroupDecision[] } {
  const { groups, biases = false, sites: _, ...threshold } = options;
  const decisions = (groups ?? ownGroups(sites, options.sites)).map((each): DeadGroupDecision => {
    const keepAtLeast = threshold.keepAtLeast ?? (each.kind === "layers" ? 0 : 1);
    const found = findDeadGroups(each.norms, { ...threshold, keepAtLeast });
    return { ...found, sites: each.sites, kind: each.kind, groups: each.norms.length };
  });
  const kept = Object.fromEntries(
    decisions.flatMap((decision) => decision.sites.map((name) => [name, decision.kept])),
  );
  return { plan: planFrom(sites, { kept, biases }), decisions };
}

/** The norms of chosen sites' own weights, together for sites on the same channels. */
function ownGroups(
  sites: readonly Site[],
  wanted: DeadGroupPlanOptions["sites"],
): Pick<FoldedGroups, "sites" | "kind" | "norms">[] {
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
    return { sites: stream.map(({ name }) => name), kind: stream[0]!.kind, norms: squares.map(Math.sqrt) };
  });
}
