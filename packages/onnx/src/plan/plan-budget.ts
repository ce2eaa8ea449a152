import { DgateError, makePlan, type PrunePlan } from "@dgate/core";
import { analyseCoupling, indicesOf, keptIndices, occurrences } from "../coupling/analyse.ts";
import type { Space } from "../coupling/space.ts";
import type { Graph } from "../graph/graph.ts";
import type { Site } from "../sites/site.ts";
import { type CostModel, costModel } from "./cost-model.ts";
import type { Cut } from "./cut-edits.ts";
import { insertFeatureGathers } from "../prune/feature-inputs.ts";
import type { ModelSize } from "./model-size.ts";
import { planOf } from "./plan-axes.ts";
import { preparedCost } from "./plan-cost.ts";
import { type BudgetName, budgetNames, type Budgets, type PlanOptions, scopeOf } from "./plan-options.ts";
import { type RankedStream, Ranking } from "./plan-ranking.ts";
import type { Stream } from "./plan-streams.ts";
import { prepare, type Prepared } from "../prune/prepare.ts";

/** Rounds of search and check; each but the last learns something about the model, so more are not needed in practice. */
const maxRounds = 8;

/**
 * The plan that goes through a ranking of all groups until the model meets its budgets: the weakest groups that are enough.
 * The search predicts the cost of thousands of cuts by `costModel`; what it finds is then decided as `prune` decides it. Groups
 * that turn out to stay (an alive partner in a residual sum, say) are taken out of the ranking, what is still too much is
 * taken off the budget, and the search goes on, so that the plan does what it promises.
 *
 * @throws DgateError `OPTION` for a budget that cannot be reached, with the least that can
 */
export function planForBudget(
  ranked: readonly RankedStream[],
  budgets: Budgets,
  options: PlanOptions,
): PrunePlan {
  const { biases = true, dims = {} } = options;
  const streams = ranked.map(({ stream }) => stream);
  const { graph } = streams[0]!.sites[0]!.source().coupling;
  const search = new BudgetSearch(streams, budgets, options);
  let open = ranked;
  for (let round = 1; ; round++) {
    const dead = search.find(open);
    const plan = planOf(streams, dead ?? search.most(open), biases);
    const prepared = prepare(graph, plan, "gather");
    const exact = preparedCost(prepared, dims);
    if (!dead) throw unreachable(search.whole, exact, budgets);
    const kept = keptBack(streams, dead, prepared);
    const stuck = kept.some((groups) => groups.size > 0);
    const met = search.meets(exact);
    if (met && (!stuck || round >= maxRounds)) return plan;
    if (round >= maxRounds) throw unreachable(search.whole, exact, budgets);
    if (stuck) open = without(open, kept);
    else search.tighten(exact);
  }
}

/** Predicts what streams of groups cost, and finds how far down a ranking to go. */
class BudgetSearch {
  readonly whole: ModelSize;
  readonly #streams: readonly Stream[];
  readonly #budgets: Budgets;
  readonly #model: CostModel;
  readonly #leaves: readonly (Space | undefined)[];
  readonly #biases: boolean;
  readonly #scope: "site" | "global";
  /** What exact costs were above the predicted ones. */
  readonly #margin: Record<BudgetName, number> = { macs: 0, parameters: 0, bytes: 0 };

  constructor(streams: readonly Stream[], budgets: Budgets, options: PlanOptions) {
    const { dims = {}, biases = true } = options;
    this.#streams = streams;
    this.#budgets = budgets;
    this.#biases = biases;
    this.#scope = scopeOf(options);
    const { coupling, gathers } = couplingOf(streams);
    this.#model = costModel(coupling, { dims, gathers });
    this.whole = this.#model.whole;
    this.#leaves = streams.map(({ sites, layers }) =>
      layers ? undefined : leafOf(sites[0]!, coupling.graph, coupling.axesOf),
    );
    for (const name of budgetList(budgets)) {
      if (this.whole[name] > 0) continue;
      throw new DgateError("OPTION", `plan: the model has no ${budgetNames[name]}; give another budget.`);
    }
  }

  /** The groups that go by stream, as few as are enough; `undefined` if all that may go are not. */
  find(ranked: readonly RankedStream[]): number[][] | undefined {
    const ranking = new Ranking(ranked, this.#scope);
    const steps = ranking.first((counts) => {
      const cost = this.#model.under(this.#cut(ranking.groups(counts)));
      return budgetList(this.#budgets).every((name) => cost[name] + this.#margin[name] <= this.#limit(name));
    });
    return steps === undefined ? undefined : ranking.groups(ranking.removedAfter(steps));
  }

  /** All groups that may go. */
  most(ranked: readonly RankedStream[]): number[][] {
    const ranking = new Ranking(ranked, this.#scope);
    return ranking.groups(ranking.removedAfter(ranking.length));
  }

  meets(cost: ModelSize): boolean {
    return budgetList(this.#budgets).every((name) => cost[name] <= this.#limit(name));
  }

  tighten(exact: ModelSize): void {
    for (const name of budgetList(this.#budgets)) {
      this.#margin[name] += Math.max(0, exact[name] - this.#limit(name));
    }
  }

  #limit(name: BudgetName): number {
    // So that half of an odd number written as a fraction is not missed by rounding.
    return this.#budgets[name]! * this.whole[name] * (1 + 1e-12);
  }

  #cut(dead: readonly (readonly number[])[]): Cut {
    const removal = new Map<Space, ReadonlySet<number>>();
    const branches: { branch: NonNullable<ReturnType<typeof branchOf>>; emits: boolean }[] = [];
    this.#streams.forEach(({ sites, layers }, i) => {
      const leaf = this.#leaves[i];
      if (leaf) removal.set(leaf, new Set(dead[i]));
      if (!layers) return;
      for (const group of dead[i]!) {
        const branch = branchOf(sites[group]!);
        if (!branch) continue;
        branches.push({
          branch,
          emits: branch.emits === "always" || (branch.emits === "biases" && !this.#biases),
        });
      }
    });
    return { removal, branches };
  }
}

const branchOf = (site: Site) => site.source().branches.get(site.name);

const budgetList = (budgets: Budgets): BudgetName[] =>
  // The keys of Budgets.
  Object.keys(budgets) as BudgetName[];

/** The analysis that costs are counted on: with a Gather before each layer whose input features may go. */
function couplingOf(streams: readonly Stream[]) {
  const { coupling } = streams[0]!.sites[0]!.source();
  const features = streams.flatMap(({ sites }) => sites.filter(({ kind }) => kind === "inputs"));
  if (features.length === 0) return { coupling, gathers: [] };
  const work = coupling.graph.clone();
  const axes = features.map(({ name, tensor, axis, axisSize }) => ({
    site: name,
    tensor,
    axis,
    size: axisSize,
    blockSize: 1,
    kept: [0],
  }));
  const gathers = insertFeatureGathers(work, makePlan({ fingerprint: "", axes }));
  return { coupling: analyseCoupling(work), gathers };
}

/** The leaf of a site's axis whose indices are the site's groups. */
function leafOf(
  { tensor, axis, groups, places }: Site,
  graph: Graph,
  axesOf: (value: NonNullable<ReturnType<Graph["value"]>>) => readonly Space[] | undefined,
): Space | undefined {
  const value = graph.value(tensor);
  const space = value && axesOf(value)?.[axis];
  const wanted = JSON.stringify(places);
  return space
    ?.leaves()
    .find((leaf) => leaf.size === groups && JSON.stringify(occurrences(space, leaf)) === wanted);
}

/**
 * The groups of each stream that stay although the plan lets them go, but for one that carries the constants of others: without
 * it another one would.
 */
function keptBack(
  streams: readonly Stream[],
  dead: readonly (readonly number[])[],
  prepared: Prepared,
): ReadonlySet<number>[] {
  return streams.map(({ sites, layers }, i) => {
    // A weight that went with a dead branch has nothing left; a layer whose weight is still there did not go.
    if (layers) return new Set(dead[i]!.filter((group) => prepared.work.value(sites[group]!.tensor)));
    const left = sites.map((site) => indicesLeft(site, prepared));
    const stays = (group: number): boolean =>
      sites.some(({ places }, k) =>
        places.some((place) => indicesOf(place, group).some((index) => left[k]!(index))),
      );
    const stuck = dead[i]!.filter(stays);
    const { graph, axesOf } = prepared.coupling;
    const leaf = stuck.length > 0 ? leafOf(sites[0]!, graph, axesOf) : undefined;
    return new Set(stuck.filter((group) => !(leaf && carries(leaf, group, prepared))));
  });
}

/** Whether a group stays because it carries the constants of others. */
function carries(leaf: Space, group: number, { carried }: Prepared): boolean {
  return carried.some(({ sink, to }) => {
    const channels = occurrences(sink.contraction.space, leaf).flatMap((place) => indicesOf(place, group));
    return channels.some((channel) => to.includes(channel));
  });
}

/** Which indices of a site's axis a decision leaves. */
function indicesLeft(
  { tensor, axis }: Site,
  { work, coupling, removal }: Prepared,
): (index: number) => boolean {
  const value = work.value(tensor);
  if (!value) return () => false;
  const space = coupling.axesOf(value)?.[axis];
  const kept = space && keptIndices(space, removal);
  if (!kept) return () => true;
  const left = new Set(kept);
  return (index) => left.has(index);
}

function without(ranked: readonly RankedStream[], kept: readonly ReadonlySet<number>[]): RankedStream[] {
  return ranked.map((stream, i) => ({
    ...stream,
    order: stream.order.filter((group) => !kept[i]!.has(group)),
  }));
}

function unreachable(whole: ModelSize, least: ModelSize, budgets: Budgets): DgateError {
  const missed = budgetList(budgets).filter((name) => least[name] > budgets[name]! * whole[name]);
  const named = (missed.length > 0 ? missed : budgetList(budgets)).map((name) => {
    const fraction = Math.ceil((1000 * least[name]) / whole[name]) / 1000;
    return `${name} = ${budgets[name]} cannot be reached: with all that the options let go, ${fraction} of the ${budgetNames[name]} stay`;
  });
  return new DgateError(
    "OPTION",
    `plan: ${named.join("; ")}. Ask for more, choose more sites (of the kinds that are pruned on request: queries, headDims, layers, dimensions, inputs), or loosen what bounds each site (minimum, maximum sparsity, align).`,
  );
}
