import { DgateError } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { type SiteKind, siteKinds } from "../sites/site.ts";

/**
 * What a score means: `l2`, the L2 norm of the groups' own weights; `l2-coupled`, that of all slices that go together
 * (producers, consumers, biases and scales: the group norm of DepGraph, Fang et al. 2023); `gates`, |Πγ| of the gates of a model
 * made by `insertGates` (see `gated`); `random`, a baseline; or scores by site name (larger stays).
 */
export type PlanCriterion =
  | "l2"
  | "l2-coupled"
  | "gates"
  | "random"
  | Readonly<Record<string, ArrayLike<number>>>;

/**
 * How scores of different sites are made comparable: `none`; `max` or `mean`, divided by the site's largest or mean score; `size`,
 * divided by √p for groups of p weights (the root mean square).
 */
export type Normalisation = "none" | "max" | "mean" | "size";

/** What `planFrom` aims at: `kept`, `keep`, `sparsity`, or one or more budgets. */
export interface PlanOptions {
  /** Fraction of the groups that stays, above 0 and up to 1: of each site, or of all together (see `scope`). */
  readonly keep?: number;
  /** Fraction of the groups that goes, `1 − keep`. */
  readonly sparsity?: number;
  /** Group indices that stay, by site name; sites that are not named stay whole. */
  readonly kept?: Readonly<Record<string, readonly number[]>>;
  /** Budget: the fraction of the model's multiply–adds that may stay, above 0 and up to 1. */
  readonly macs?: number;
  /** Budget: the fraction of the model's parameters that may stay. */
  readonly parameters?: number;
  /** Budget: the fraction of the bytes of the model's constants that may stay. */
  readonly bytes?: number;
  /** Sizes of symbolic dimensions, by name, for a budget of MACs: `{ batch: 1, sequence: 128 }`. Others count as 1. */
  readonly dims?: Readonly<Record<string, number>>;
  /**
   * `site`: the same fraction of each site goes. `global`: the groups of all chosen sites are ranked together, so sites
   * (and heads of different layers) end up uneven. Default: `global` for a budget, else `site`.
   */
  readonly scope?: "site" | "global";
  /** For `global`; default `mean`. Raw norms empty the layers whose weights happen to be small. */
  readonly normalise?: Normalisation;
  /** What decides which groups stay; default `l2`. */
  readonly criterion?: PlanCriterion;
  /** The gated model whose gates count for `gates`, where the sites are of the dense or folded one. */
  readonly gated?: Graph;
  /** Seed of `random`. */
  readonly seed?: number;
  /**
   * Sites to prune, by name or kind. By default all that can be but those of kind `inputs`, `queries`, `headDims`, `layers` and
   * `dimensions`, which takes all layers that write into the embedding's stream with it.
   */
  readonly sites?: readonly (SiteKind | (string & {}))[];
  /** At least this many groups of a site stay (default 1). */
  readonly minimum?: number;
  /** At most this fraction of a site's groups goes, from 0 to 1 (default 1). */
  readonly maximumSparsity?: number;
  /**
   * The kept channels of a site are a multiple of this number, in indices of its weight's axis: the nearest one, at least one
   * multiple. A site that keeps all its channels is left as it is. One number, or one per kind.
   */
  readonly align?: number | Readonly<Partial<Record<SiteKind, number>>>;
  /** Whether biases and normalisation scales of the groups go with them (default true), so that they emit nothing at all. */
  readonly biases?: boolean;
}

/** Costs that can have a budget, with their names for people. */
export const budgetNames = { macs: "MACs", parameters: "parameters", bytes: "bytes" } as const;

export type BudgetName = keyof typeof budgetNames;

/** The budgets of a plan, as fractions of the whole model. */
export type Budgets = Readonly<Partial<Record<BudgetName, number>>>;

/** What a plan aims at, after the options have been checked. */
export type Target =
  | { readonly kind: "kept"; readonly kept: Readonly<Record<string, readonly number[]>> }
  | { readonly kind: "keep"; readonly keep: number }
  | { readonly kind: "budget"; readonly budgets: Budgets };

const kinds: readonly string[] = siteKinds;

const refuse = (problem: string): never => {
  throw new DgateError("OPTION", `plan: ${problem}.`);
};

/**
 * The one thing that the options ask for.
 *
 * @throws DgateError `OPTION` for nothing, for several things at once, and for a number out of range
 */
export function targetOf(options: PlanOptions): Target {
  checkNumbers(options);
  const { keep, sparsity, kept } = options;
  const budgets = Object.fromEntries(
    Object.keys(budgetNames).flatMap((name) => {
      const fraction = options[name as BudgetName]; // a key of budgetNames
      return fraction === undefined ? [] : [[name, fraction]];
    }),
  ) as Budgets; // made of its keys above
  const given = [keep, sparsity, kept, Object.keys(budgets).length > 0 || undefined];
  if (given.filter((value) => value !== undefined).length !== 1) {
    return refuse("give one of keep, sparsity, kept, or a budget (macs, parameters, bytes)");
  }
  if (kept) return { kind: "kept", kept };
  const ratio = keep ?? (sparsity === undefined ? undefined : 1 - sparsity);
  return ratio === undefined ? { kind: "budget", budgets } : { kind: "keep", keep: ratio };
}

function checkNumbers(options: PlanOptions): void {
  const { keep, sparsity, minimum = 1, maximumSparsity = 1, align = 1, scope, normalise } = options;
  if (keep !== undefined && !(keep > 0 && keep <= 1)) {
    refuse(`keep is the fraction that stays, above 0 and at most 1, got ${keep}`);
  }
  if (sparsity !== undefined && !(sparsity >= 0 && sparsity < 1)) {
    refuse(`sparsity is the fraction that goes, from 0 to below 1, got ${sparsity}`);
  }
  for (const name of Object.keys(budgetNames)) {
    const fraction = options[name as BudgetName]; // a key of budgetNames
    if (fraction !== undefined && !(fraction > 0 && fraction <= 1)) {
      refuse(
        `${name} is the fraction of the whole model that may stay, above 0 and at most 1, got ${fraction}`,
      );
    }
  }
  if (!Number.isSafeInteger(minimum) || minimum < 1)
    refuse(`minimum is a number of groups from 1 up, got ${minimum}`);
  if (!(maximumSparsity >= 0 && maximumSparsity <= 1)) {
    refuse(`maximumSparsity is a fraction from 0 to 1, got ${maximumSparsity}`);
  }
  const unknown =
    typeof align === "number" ? undefined : Object.keys(align).find((kind) => !kinds.includes(kind));
  if (unknown !== undefined) refuse(`align: "${unknown}" is no kind of site; there are ${kinds.join(", ")}`);
  for (const multiple of typeof align === "number" ? [align] : Object.values(align)) {
    if (!Number.isSafeInteger(multiple) || multiple < 1)
      refuse(`align is a whole number from 1 up, got ${multiple}`);
  }
  if (normalise !== undefined && scopeOf(options) !== "global") {
    refuse(`normalise: "${normalise}" compares sites with each other; give scope: "global" with it`);
  }
  if (scope !== undefined && options.kept) refuse("kept says what stays of each site; leave scope out");
}

/** Whether sites are ranked on their own or together. */
export function scopeOf({ scope, macs, parameters, bytes }: PlanOptions): "site" | "global" {
  return scope ?? ((macs ?? parameters ?? bytes) === undefined ? "site" : "global");
}
