import type { GatedRole, Site } from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";

/** Sites whose groups are what reads a block's output, with the roles that `insertGates` then has to gate. */
export interface ReaderSites {
  readonly sites: readonly Site[];
  readonly roles: {
    readonly heads: readonly GatedRole[];
    readonly neurons: readonly GatedRole[];
    readonly layers: readonly GatedRole[];
  };
}

/**
 * The sites of blocks as one gate per group on the way out: of heads the rows of the output projection, of neurons those of the second feed-forward
 * weight, of a residual branch its last weight and bias. A gate γ then scales by γ what the group gives, biases in it included, and 0
 * turns it off: the ξ_h of Michel et al. (2019), with the weights of the group's own projections as they are.
 */
export function readerSites(blocks: readonly GatedBlock[]): ReaderSites {
  return {
    sites: blocks.map(({ site, group }) => (group === "layers" ? site : readerOf(site))),
    roles: { heads: ["consumer"], neurons: ["consumer"], layers: ["parameter"] },
  };
}

function readerOf(site: Site): Site {
  const [first, ...others] = site.coupled.filter(({ role }) => role === "consumer");
  if (!first) return site;
  const { tensor, axis, axisSize, places } = first;
  return { ...site, tensor, axis, axisSize, places, coupled: others };
}
