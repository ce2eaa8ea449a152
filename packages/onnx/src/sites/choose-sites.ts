import { DgateError } from "@dgate/core";
import { indicesOf } from "../coupling/analyse.ts";
import type { Site, SiteKind } from "./site.ts";

/** Which sites to take. */
interface Choice {
  /** By name or kind. */
  readonly sites?: readonly (SiteKind | (string & {}))[];
  /** If `sites` is left out: the sites named here. */
  readonly kept?: Readonly<Record<string, unknown>>;
}

/**
 * The prunable sites that a caller asks for; by default all but those of kind `inputs`, `queries`,
 * `headDims`, `layers` and `dimensions` (with the layers that write into the same stream).
 *
 * @throws DgateError `NO_MATCH` for a name that no site has and if no site is left, `UNSUPPORTED` if one asked for by name
 * cannot be pruned
 */
export function chooseSites(sites: readonly Site[], { sites: wanted, kept }: Choice): Site[] {
  if (!Array.isArray(sites) || (wanted !== undefined && !Array.isArray(wanted))) {
    throw new DgateError(
      "OPTION",
      'plan: takes the list that findSites gives, and `sites` as a list of names or kinds, such as ["heads"].',
    );
  }
  const names = wanted ?? (kept && Object.keys(kept));
  for (const name of names ?? []) {
    const matching = sites.filter((site) => site.name === name || site.kind === name);
    if (matching.length === 0) {
      throw new DgateError(
        "NO_MATCH",
        `plan: no site is called "${name}" or of that kind; there are ${namesOf(sites)}.`,
      );
    }
    const reason = matching.find((site) => site.name === name)?.prunable;
    if (typeof reason === "string")
      throw new DgateError("UNSUPPORTED", `plan: site "${name}" cannot be pruned: ${reason}.`);
  }
  const open = sites.filter(({ prunable }) => prunable === true);
  const asked = names && open.filter(({ name, kind }) => names.includes(name) || names.includes(kind));
  const chosen = asked ? withWholeWidth(asked, open) : defaultSites(open);
  if (chosen.length > 0) return chosen;
  const refused = names
    ? sites.filter(({ name, kind }) => names.includes(name) || names.includes(kind))
    : sites;
  const reasons = refused.flatMap(({ name, prunable }) =>
    prunable === true ? [] : [`${name}: ${prunable}`],
  );
  throw new DgateError(
    "NO_MATCH",
    `plan: no site ${names?.length ? `of ${names.join(", ")}` : "of the model"} can be pruned. ${reasons.slice(0, 3).join("; ")}`,
  );
}

/** The kinds of a model's sites, and some names. */
function namesOf(sites: readonly Site[]): string {
  if (sites.length === 0) return "none";
  const kinds = [...new Set(sites.map(({ kind }) => kind))].join(", ");
  const names = sites.slice(0, 8).map(({ name }) => name);
  const more =
    sites.length > names.length
      ? ` and ${sites.length - names.length} more (see findSites, dgate inspect)`
      : "";
  return `the kinds ${kinds}, with ${names.join(", ")}${more}`;
}

/** The embedding's columns are the width of the whole model: every layer that writes into that stream goes with them. */
function withWholeWidth(asked: readonly Site[], open: readonly Site[]): Site[] {
  const widths = channelsOf(asked, "dimensions");
  return open.filter((site) => asked.includes(site) || widths.has(site.channel));
}

const channelsOf = (sites: readonly Site[], kind: SiteKind): ReadonlySet<number> =>
  new Set(sites.filter((site) => site.kind === kind).map(({ channel }) => channel));

const onRequest: ReadonlySet<SiteKind> = new Set(["inputs", "queries", "headDims", "layers", "dimensions"]);

/**
 * All but what is pruned on request only, which includes the width of a model that begins with an embedding; of sites on the
 * same indices of an axis (groups × channels) the outermost one. Sites side by side, the runs that a Split or a Pad makes of an
 * axis, do not compete.
 */
function defaultSites(open: readonly Site[]): Site[] {
  const widths = channelsOf(open, "dimensions");
  const taken = new Map<string, Set<number>>();
  return open.filter((site) => {
    if (onRequest.has(site.kind)) return false;
    const key = `${site.axis} ${site.tensor}`;
    const known = taken.get(key) ?? new Set<number>();
    taken.set(key, known);
    const own = indicesOfSite(site);
    if (own.some((at) => known.has(at))) return false;
    for (const at of own) known.add(at);
    return !widths.has(site.channel);
  });
}

function indicesOfSite({ groups, places }: Site): number[] {
  return places.flatMap((place) =>
    Array.from({ length: groups }, (_, group) => indicesOf(place, group)).flat(),
  );
}
