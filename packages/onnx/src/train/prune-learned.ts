import type { PrunePlan } from "@dgate/core";
import { type FoldedGroups, foldGates } from "../gating/fold-gates.ts";
import type { Graph } from "../graph/graph.ts";
import {
  type DeadGroupDecision,
  type DeadGroupPlanOptions,
  planDeadGroups,
} from "../plan/plan-dead-groups.ts";
import { mask } from "../prune/mask.ts";
import { prune, type PruneOptions, type PruneReport } from "../prune/prune.ts";
import { findSites } from "../sites/find-sites.ts";
import { prove, type Verification, type VerifyOptions } from "../verify/verify.ts";
import type { SetNorms } from "./learned-model.ts";

/** Options of `Trainer.prune`. */
export interface PruneLearnedOptions
  extends Omit<DeadGroupPlanOptions, "groups" | "sites">,
    Omit<PruneOptions, "inputs"> {
  /** What happens to the model's input when its features are removed: see `prune`. */
  readonly inputs?: PruneOptions["inputs"];
  /** A plan to use in place of the dead groups, made from the folded model. */
  readonly plan?: (folded: Graph, groups: readonly FoldedGroups[]) => PrunePlan;
  /** How masked and pruned model are compared; `false` leaves it out. */
  readonly verify?: VerifyOptions | false;
}

/** A model without what training has turned off. */
export interface PrunedModel {
  readonly graph: Graph;
  readonly report: PruneReport;
  readonly plan: PrunePlan;
  /** Which groups are dead, site by site; empty where a plan was given. */
  readonly decisions: readonly DeadGroupDecision[];
  /** The comparison with the masked model; absent if it was left out. */
  readonly verification?: Verification;
  /** What went otherwise than one would wish: sites of which everything died, groups near the threshold. */
  readonly warnings: readonly string[];
}

/** A site is taken to have died out when its strongest group has less than this part of the norm it started with. */
const diedOut = 1e-3;

/**
 * Folds the gates of a trained model, removes its dead groups and proves the result against the masked model. Of a site that has died out
 * the strongest group stays.
 *
 * @throws DgateError `CHECK` if masked and pruned model differ, and as `foldGates`, `planDeadGroups` and `prune`
 */
export async function pruneLearned(
  gated: Graph,
  initial: readonly SetNorms[],
  options: PruneLearnedOptions = {},
): Promise<PrunedModel> {
  const { plan: given, verify = {}, inputs, dims, ...threshold } = options;
  const { graph: folded, groups } = foldGates(gated);
  const warnings: string[] = [];
  const found = given
    ? { plan: given(folded, groups), decisions: [] }
    : planDeadGroups(findSites(folded), {
        ...threshold,
        groups: revived(groups, initial, threshold, warnings),
      });
  for (const { sites, near, dead, groups: count } of found.decisions) {
    if (near > count / 10 && dead.length > 0) {
      warnings.push(
        `site "${sites[0]}": ${near} of ${count} groups lie near the threshold; train longer, or choose another λ.`,
      );
    }
  }
  const { graph, report } = prune(folded, found.plan, { ...(inputs && { inputs }), ...(dims && { dims }) });
  if (verify === false) return { graph, report, warnings, ...found };
  const border = { inputs: report.inputs, outputs: report.outputs };
  const verification = await prove(mask(folded, found.plan), graph, {
    ...border,
    ...(dims && { dims }),
    ...verify,
  });
  return { graph, report, warnings, verification, ...found };
}

/** Norms under every threshold for a site that has died out, so that only `keepAtLeast` decides what stays of it. */
function revived(
  groups: readonly FoldedGroups[],
  initial: readonly SetNorms[],
  { absolute = 1e-6 }: Pick<DeadGroupPlanOptions, "absolute">,
  warnings: string[],
): FoldedGroups[] {
  return groups.map((each) => {
    const start = initial.find(({ name }) => name === each.name)?.norms;
    const strongest = each.norms.reduce((a, b) => Math.max(a, b), 0);
    if (!start || strongest > diedOut * start.reduce((a, b) => Math.max(a, b), 0)) return each;
    warnings.push(
      `site "${each.name}": all ${each.norms.length} groups have died; ${each.kind === "layers" ? "the layer goes" : "the strongest stays"}. Lower λ.`,
    );
    const scale = strongest > 0 ? absolute / 2 / strongest : 0;
    return { ...each, norms: each.norms.map((norm) => norm * scale) };
  });
}
