import {
  arrayOps,
  type Factors,
  findDeadGroups,
  type GroupSet,
  type NdArray,
  type SiteReport,
  type SiteReportOptions,
  sparsePenalty,
  squaredGroupNorms,
} from "@dgate/core";

/** Measures a site under a direct penalty: its penalty in the loss is the sparse one, so that there is no gap. */
export function directReport(
  site: string,
  set: GroupSet,
  { primary }: Factors<NdArray>,
  { lambda, threshold = {}, depth }: SiteReportOptions & { readonly depth: number },
): SiteReport {
  const ops = arrayOps("float64");
  const norms = ops.sqrt(squaredGroupNorms(ops, set, primary)).data;
  const { kept, near } = findDeadGroups(norms, { ...threshold, keepAtLeast: 0 });
  const sparse = sparsePenalty(ops, set, primary, lambda, depth).data[0]!;
  return {
    site,
    groups: set.groups,
    active: kept.length,
    near,
    smooth: sparse,
    sparse,
    gap: 0,
    imbalance: 0,
    medianImbalance: 0,
  };
}
