import { DgateError } from "@dgate/core";
import type { Site, SiteKind } from "./site.ts";

/** Which sites to take. */
interface Choice {
  /** By name or kind. */
  readonly sites?: readonly (SiteKind | (string & {}))[];
  /** If `sites` is left out: the sites named here. */
  readonly kept?: Readonly<Record<string, unknown>>;
}

/**
 * The prunable sites that a caller asks for; by default all but those of kind `inputs`, `queries`, `headDims` and `layers`.
 *
 * @throws DgateError `NO_MATCH` for a name that no site has and if no site is left, `UNSUPPORTED` if one asked for by name
 * cannot be pruned
 */
export function chooseSites(sites: readonly Site[], { sites: wanted, kept }: Choice): Site[] {
  const names = wanted ?? (kept && Object.keys(kept));
  for (const name of names ?? []) {
    const matching = sites.filter((site) => site.name === name || site.kind === name);
    if (matching.length === 0) {
      throw new DgateError(
        "NO_MATCH",
        `plan: no site is called "${name}" or of that kind; there are ${sites.map((site) => site.name).join(", ") || "none"}.`,
      );
    }
    const reason = matching.find((site) => site.name === name)?.prunable;
    if (typeof reason === "string")
      throw new DgateError("UNSUPPORTED", `plan: site "${name}" cannot be pruned: ${reason}.`);
  }
  const open = sites.filter(({ prunable }) => prunable === true);
  const chosen = open.filter((site) =>
    names ? names.includes(site.name) || names.includes(site.kind) : isDefault(site, open),
  );
  if (chosen.length > 0) return chosen;
  const asked = names
    ? sites.filter(({ name, kind }) => names.includes(name) || names.includes(kind))
    : sites;
  const reasons = asked.flatMap(({ name, prunable }) => (prunable === true ? [] : [`${name}: ${prunable}`]));
  throw new DgateError(
    "NO_MATCH",
    `plan: no site ${names ? `of ${names.join(", ")}` : "of the model"} can be pruned. ${reasons.slice(0, 3).join("; ")}`,
  );
}

const onRequest: ReadonlySet<SiteKind> = new Set(["inputs", "queries", "headDims", "layers"]);

/** All but what is pruned on request only; of an axis with several sites (groups × channels) the outermost one. */
function isDefault(site: Site, open: readonly Site[]): boolean {
  const first = open.find(({ tensor, axis, kind }) => {
    return tensor === site.tensor && axis === site.axis && !onRequest.has(kind);
  });
  return first === site;
}
