import { DgateError, type PrunePlan, randomGenerator } from "@dgate/core";
import type { Site } from "../sites/site.ts";
import { planOf } from "./plan-axes.ts";
import { planForBudget } from "./plan-budget.ts";
import { type PlanOptions, scopeOf, targetOf } from "./plan-options.ts";
import { rank, type RankedStream, Ranking } from "./plan-ranking.ts";
import { Scorer } from "./plan-scores.ts";
import { keptCount, type Stream, streamsOf } from "./plan-streams.ts";

export type { PlanOptions } from "./plan-options.ts";

/**
 * A plan for the sites of a model: the strongest groups stay, of each site or of all sites ranked together, as many as a
 * ratio or a budget allows. Sites that share their channels (a residual stream) are decided together, by the sum of their
 * squared scores.
 *
 * @throws DgateError `OPTION` for options out of range and for a budget that cannot be reached (with the least that can),
 * `NO_MATCH` if no site is left to prune or has gates, `UNSUPPORTED` if one asked for by name cannot be pruned, `GROUP` for scores or
 * indices that do not fit a site, `DATA` for scores that are NaN
 */
export function planFrom(sites: readonly Site[], options: PlanOptions = {}): PrunePlan {
  const target = targetOf(options);
  const streams = streamsOf(sites, options);
  const { biases = true } = options;
  if (target.kind === "kept") {
    return planOf(
      streams,
      streams.map((stream) => givenGroups(stream, target.kept)),
      biases,
    );
  }
  const random = randomGenerator(options.seed ?? 1);
  const scorer = new Scorer(options, scopeOf(options), () => random.next());
  const scores = streams.map((stream) => scorer.score(stream));
  const ranked = rank(streams, scores, options);
  if (target.kind === "budget") return planForBudget(ranked, target.budgets, options);
  const dead = scopeOf(options) === "site" ? perSite(ranked, target.keep) : together(ranked, target.keep);
  return planOf(streams, dead, biases);
}

/** The same fraction of each stream stays. */
function perSite(ranked: readonly RankedStream[], keep: number): number[][] {
  return ranked.map(({ stream, order }) => {
    const { groups } = stream;
    return order.slice(0, groups - keptCount(stream, Math.round(groups * keep)));
  });
}

const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0);

/** A fraction of all groups stays, as nearly as bounds and steps of the streams allow. */
function together(ranked: readonly RankedStream[], keep: number): number[][] {
  const ranking = new Ranking(ranked, "global");
  const total = sum(ranked.map(({ stream }) => stream.groups));
  const wanted = Math.round(total * (1 - keep));
  const enough = ranking.first((counts) => sum(counts) >= wanted) ?? ranking.length;
  const [over, under] = [enough, Math.max(0, enough - 1)].map((steps) => ranking.removedAfter(steps));
  return ranking.groups(sum(over!) - wanted <= wanted - sum(under!) ? over! : under!);
}

/** The groups of a stream that some named site of it does not keep. */
function givenGroups(
  { sites, layers, groups }: Stream,
  kept: Readonly<Record<string, readonly number[]>>,
): number[] {
  for (const site of sites) {
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
  const all = Array.from({ length: groups }, (_, j) => j);
  if (layers) return all.filter((j) => kept[sites[j]!.name]?.length === 0);
  const lists = sites.flatMap((site) => (kept[site.name] ? [new Set(kept[site.name])] : []));
  return all.filter((j) => lists.some((list) => !list.has(j)));
}
