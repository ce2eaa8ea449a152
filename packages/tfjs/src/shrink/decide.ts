import { type DeadGroupOptions, type DeadGroups, findDeadGroups } from "@dgate/core";
import type * as tf from "@tensorflow/tfjs";
import { gatedSites, groupNorms } from "../gating/inspect.ts";
import type { GatedSite } from "../gating/site.ts";

/** When a group is called dead. See `findDeadGroups`. */
export type ShrinkThreshold = Pick<DeadGroupOptions, "absolute" | "relative" | "nearFactor">;

/** A site with the groups that stay and those that go. */
export interface SiteDecision {
  readonly site: GatedSite;
  readonly groups: DeadGroups;
}

/**
 * Which groups of each site of a gated model are dead by their norms. A whole layer may go; of all other sites the
 * strongest group stays when every one is under the threshold.
 *
 * @throws DgateError `NO_MATCH` for a model without gates
 */
export async function decideSites(
  model: tf.LayersModel,
  threshold: ShrinkThreshold,
): Promise<SiteDecision[]> {
  const norms = await groupNorms(model);
  return gatedSites(model).map((site) => {
    const values = norms.get(site.name);
    if (!values) throw new Error(`unreachable: site ${site.name} has no norms`);
    const keepAtLeast = site.kind === "layer" ? 0 : 1;
    return { site, groups: findDeadGroups(values, { ...threshold, keepAtLeast }) };
  });
}
