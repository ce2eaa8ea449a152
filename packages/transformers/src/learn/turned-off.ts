import { findSites, type Graph, mask, planFrom, readGates, tensorOf } from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import { liveGraph } from "../gates/live-graph.ts";
import type { KeptGroups } from "../prune/choose-groups.ts";
import { foldLive, keptSites } from "../prune/prune-part.ts";

/**
 * The model with groups turned off by zeros where they are read. Where weights are trained the group's own weights are zero too: what reads zeros and is
 * read by zeros has no gradient, and does not come back.
 */
export function turnedOff(
  model: Graph,
  blocks: readonly GatedBlock[],
  kept: KeptGroups,
  train: "gates" | "groups" | "all",
): Graph {
  if (blocks.every(({ name, groups }) => (kept.get(name)?.length ?? groups) === groups)) return model;
  const gates = new Map(
    blocks.map(({ name, groups }) => {
      const own = kept.get(name);
      const on = new Set(own ?? Array.from({ length: groups }, (_, group) => group));
      return [name, Float64Array.from({ length: groups }, (_, group) => Number(on.has(group)))];
    }),
  );
  const off = foldLive(liveGraph(model, blocks), gates);
  if (train === "gates") return off;
  const sites = findSites(off);
  // A block of which nothing stays is off by its readers; as a branch it would lose its bias.
  const some = new Map([...kept].filter(([, groups]) => groups.length > 0));
  return mask(off, planFrom(sites, { kept: Object.fromEntries(keptSites(sites, blocks, some)) }));
}

/** A gated model in which the gates of groups that are off are zero. */
export const withGatesOff = (gated: Graph, blocks: readonly GatedBlock[], kept: KeptGroups): Graph =>
  withGates(gated, blocks, ({ block, values }) => {
    const on = new Set(kept.get(block.name) ?? values.keys());
    values.forEach((_, group) => {
      if (!on.has(group)) values[group] = 0;
    });
  });

/** A gate of every group of a block, one of D − 1, that may be changed. */
interface GateValues {
  readonly block: GatedBlock;
  /** Name of the gate set. */
  readonly set: string;
  readonly d: number;
  readonly values: Float64Array;
}

/** A gated model with other values of its gates. */
export function withGates(
  gated: Graph,
  blocks: readonly GatedBlock[],
  change: (gate: GateValues) => void,
): Graph {
  const copy = gated.clone();
  const sets = readGates(gated);
  for (const block of blocks) {
    const set = setName(sets, block);
    const own = sets.get(set);
    own?.names.forEach((name, d) => {
      const values = Float64Array.from(own.gates[d]!);
      change({ block, set, d, values });
      const value = copy.value(name)!; // a gate of the record
      value.data = tensorOf(value.data!.dtype === "float16" ? "float16" : "float32", [values.length], values);
    });
  }
  return copy;
}

/** A gate set is named after the first of the sites that share it. */
export const setName = (sets: ReadonlyMap<string, unknown>, { sites, name }: GatedBlock): string =>
  sites.map((site) => site.name).find((each) => sets.has(each)) ?? name;
