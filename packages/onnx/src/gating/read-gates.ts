import { arrayOps, gateProduct, type GroupSet } from "@dgate/core";
import type { Graph } from "../graph/graph.ts";
import { gateArrays } from "./gate-values.ts";
import { resolveGates } from "./resolve-gates.ts";

/** The gates of a site of a gated model. */
export interface SiteGates {
  /** Names of the D − 1 gate inputs. */
  readonly names: readonly string[];
  /** γ_d, their defaults in the model, each `[groups]`. */
  readonly gates: readonly Float64Array[];
  /** Π_d γ_{j,d} */
  readonly product: Float64Array;
  /** The groups in terms of `@dgate/core`; its members are named after the initializers that hold ω. */
  readonly set: GroupSet;
  /** All sites that share the gates, this one included. */
  readonly sites: readonly string[];
}

/**
 * The gates of a gated model by site; empty for a model without gates. Sites that share their gates have the same entry.
 *
 * @throws DgateError as `foldGates`
 */
export function readGates(graph: Graph): Map<string, SiteGates> {
  const resolved = resolveGates(graph);
  const factors = gateArrays("readGates", resolved);
  const found = new Map<string, SiteGates>();
  resolved.forEach(({ site, set }, s) => {
    const entry: SiteGates = {
      names: site.gates,
      gates: factors[s]!.map(({ data }) => Float64Array.from(data)),
      product: Float64Array.from(gateProduct(arrayOps("float64"), factors[s]!).data),
      set,
      sites: site.sites,
    };
    for (const name of site.sites) found.set(name, entry);
  });
  return found;
}
