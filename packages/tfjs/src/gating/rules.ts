import { DgateError, type InitialScheme } from "@dgate/core";
import type { SiteKind } from "./site.ts";

/** Settings of a site. */
export interface SiteSettings {
  /** D ≥ 2: 2 is the group lasso, 3 and 4 are sparser. Default 3. */
  readonly depth?: number;
  /** λ ≥ 0. Default 1e-4. */
  readonly lambda?: number;
  /** Whether the offset (bias, β) is part of its unit's group. Default: no for Dense neurons, yes elsewhere. */
  readonly bias?: boolean;
  /** Penalty weights s_j of the groups: 1 (default), √p_j, or numbers. */
  readonly weights?: "none" | "sqrt-size" | readonly number[];
}

/** Chooses layers and says how they are gated; what it leaves out comes from the options of `gate`. First match wins. */
export interface SiteRule extends SiteSettings {
  /** Name or path (`outer/inner`) of a layer, or of a nested model for all its layers; or a pattern to find in the path. */
  readonly layer?: string | RegExp;
  /** Layer class, such as `Dense`. */
  readonly type?: string;
  /** What to gate there; `"none"` leaves the layer as it is. Default: the units of the layer's output. */
  readonly site?: SiteKind | readonly SiteKind[] | "none";
}

/** Options of `gate`. */
export interface GateOptions extends SiteSettings {
  readonly rules?: readonly SiteRule[];
  /**
   * How gates start: `balanced` (default) and `ones` leave the model's function as it is; `variance-matched` draws
   * random gates for training from scratch.
   */
  readonly initialisation?: InitialScheme;
  /** Seed of `variance-matched`. Default 0. */
  readonly seed?: number;
}

/** Refuses depths and λ out of range, and settings that are none; `where` names the option. */
export function checkSettings(where: string, settings: SiteSettings, known: readonly string[]): void {
  const { depth, lambda } = settings;
  const stranger = Object.keys(settings).find((key) => !known.includes(key));
  if (stranger !== undefined) {
    throw new DgateError("OPTION", `${where}: there is no "${stranger}", expected ${known.join(", ")}.`);
  }
  if (depth !== undefined && !(Number.isSafeInteger(depth) && depth >= 2)) {
    throw new DgateError(
      "OPTION",
      `${where}: depth is ${depth}, expected a whole number of at least 2 (2 is the group lasso).`,
    );
  }
  if (lambda !== undefined) checkLambda(where, lambda);
}

/** The keys of `SiteSettings` and of `SiteRule`. */
export const settingKeys: readonly string[] = ["depth", "lambda", "bias", "weights"];
export const ruleKeys: readonly string[] = ["layer", "type", "site", ...settingKeys];

/** Refuses a λ that is negative, NaN or infinite. */
export function checkLambda(where: string, lambda: number): void {
  if (Number.isFinite(lambda) && lambda >= 0) return;
  throw new DgateError("OPTION", `${where}: lambda is ${lambda}, expected a finite number of at least 0.`);
}

/** Whether a rule speaks of a layer of this path and class that offers these site kinds. */
export function matches(rule: SiteRule, path: string, className: string, offers: readonly string[]): boolean {
  if (rule.type !== undefined && rule.type !== className) return false;
  if (rule.layer !== undefined && !matchesName(rule.layer, path)) return false;
  return (
    rule.site === undefined || rule.site === "none" || kindsOf(rule.site).some((k) => offers.includes(k))
  );
}

function matchesName(pattern: string | RegExp, path: string): boolean {
  if (typeof pattern === "string") return `/${path}/`.includes(`/${pattern}/`);
  // `search` starts at 0 whatever a global pattern's lastIndex is.
  return path.search(pattern) !== -1;
}

/** The kinds that a rule's `site` names. */
export function kindsOf(site: SiteKind | readonly SiteKind[]): readonly SiteKind[] {
  return typeof site === "string" ? [site] : site;
}

/** A rule in words, for messages. */
export function describeRule(rule: SiteRule): string {
  const parts = [
    rule.layer === undefined ? undefined : `layer: ${String(rule.layer)}`,
    rule.type === undefined ? undefined : `type: ${rule.type}`,
    rule.site === undefined ? undefined : `site: ${String(rule.site)}`,
  ];
  return `{ ${parts.filter((part) => part !== undefined).join(", ")} }`;
}
