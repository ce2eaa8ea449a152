import { arrayOps } from "../arrays/array-ops.ts";
import type { NdArray } from "../arrays/nd-array.ts";
import { checkNumber } from "../check.ts";
import { collapse, depthOf, type Factors, squaredGroupNorms } from "../gating/factors.ts";
import { imbalance, penaltyGap, smoothPenalty, sparsePenalty } from "../gating/penalty.ts";
import type { GroupSet } from "../groups/group-set.ts";
import { type DeadGroupOptions, findDeadGroups } from "../plan/dead-groups.ts";

/** How sparse one site is. */
export interface SiteReport {
  readonly site: string;
  readonly groups: number;
  /** Groups whose norm is above the threshold. */
  readonly active: number;
  /** Groups near the threshold. */
  readonly near: number;
  /** Smooth penalty, λ included. */
  readonly smooth: number;
  /** Sparse penalty of the collapsed weights, λ included. */
  readonly sparse: number;
  /** Smooth minus sparse penalty, ≥ 0. */
  readonly gap: number;
  /** Largest |‖ω_j‖² − γ_{j,d}²|. */
  readonly imbalance: number;
  /** Median over groups of |‖ω_j‖² − γ_{j,d}²|, of the worst d: the law of gradient flow is seen in it, not in the largest. */
  readonly medianImbalance: number;
}

/** How sparse a model is: its sites, and their sums (largest value for the imbalances). */
export interface SparsityReport extends Omit<SiteReport, "site"> {
  readonly sites: readonly SiteReport[];
}

/** Options of `siteReport`. */
export interface SiteReportOptions {
  readonly lambda: number;
  /** When a group counts as active; no group is kept by force here. */
  readonly threshold?: Omit<DeadGroupOptions, "keepAtLeast">;
}

/** Measures one site, in float64. */
export function siteReport(
  site: string,
  set: GroupSet,
  factors: Factors<NdArray>,
  { lambda, threshold = {} }: SiteReportOptions,
): SiteReport {
  checkNumber("siteReport", "lambda", lambda, 0);
  const ops = arrayOps("float64");
  const weights = collapse(ops, set, factors);
  const norms = ops.sqrt(squaredGroupNorms(ops, set, weights)).data;
  const { kept, near } = findDeadGroups(norms, { ...threshold, keepAtLeast: 0 });
  const differences = imbalance(ops, set, factors).map((r) => ops.abs(r).data);
  return {
    site,
    groups: set.groups,
    active: kept.length,
    near,
    smooth: valueOf(smoothPenalty(ops, set, factors, lambda)),
    sparse: valueOf(sparsePenalty(ops, set, weights, lambda, depthOf(set, factors))),
    // Rounding may leave −1e-17.
    gap: Math.max(0, valueOf(penaltyGap(ops, set, factors, lambda))),
    imbalance: largest(differences.map((r) => largest(r))),
    medianImbalance: largest(differences.map((r) => median(r))),
  };
}

/** Adds sites up to the report of a model. */
export function sparsityReport(sites: readonly SiteReport[]): SparsityReport {
  const total = (pick: (site: SiteReport) => number): number =>
    sites.reduce((sum, site) => sum + pick(site), 0);
  return {
    sites,
    groups: total((site) => site.groups),
    active: total((site) => site.active),
    near: total((site) => site.near),
    smooth: total((site) => site.smooth),
    sparse: total((site) => site.sparse),
    gap: total((site) => site.gap),
    imbalance: largest(sites.map((site) => site.imbalance)),
    medianImbalance: largest(sites.map((site) => site.medianImbalance)),
  };
}

function valueOf(scalar: NdArray): number {
  return scalar.data[0]!;
}

function largest(values: ArrayLike<number>): number {
  return Array.from(values).reduce((a, b) => Math.max(a, b), 0);
}

function median(values: ArrayLike<number>): number {
  const sorted = Array.from(values).sort((a, b) => a - b);
  return sorted[sorted.length >> 1] ?? 0;
}
