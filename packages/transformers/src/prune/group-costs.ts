import { costOfPlan, countCosts, findSites, type Graph, planFrom } from "@dgate/onnx";
import type { GatedBlock } from "../blocks/block.ts";
import { keptSites } from "./prune-part.ts";

/** Multiply–adds of a model, and what one group of each block has of them. */
export interface GroupCosts {
  readonly total: number;
  /** Of one group, by the block's name; the cost of a model is linear in its groups. */
  readonly perGroup: ReadonlyMap<string, number>;
}

/**
 * Measures the cost of groups by taking one out of each block: once for blocks of the same form.
 *
 * @param dims sizes of the model's open dimensions
 */
export function groupCosts(
  graph: Graph,
  blocks: readonly GatedBlock[],
  dims: Readonly<Record<string, number>>,
): GroupCosts {
  const total = countCosts(graph, dims).macs;
  const sites = findSites(graph);
  const known = new Map<string, number>();
  const perGroup = new Map<string, number>();
  for (const block of blocks) {
    const form = formOf(graph, block);
    let cost = known.get(form);
    if (cost === undefined) {
      const rest = Array.from({ length: block.groups - 1 }, (_, group) => group + 1);
      const kept = Object.fromEntries(keptSites(sites, [block], new Map([[block.name, rest]])));
      cost =
        block.groups === 1 && block.group !== "layers"
          ? 0
          : total - costOfPlan(graph, planFrom(sites, { kept }), { dims }).macs;
      known.set(form, cost);
    }
    perGroup.set(block.name, cost);
  }
  return { total, perGroup };
}

/** Blocks of the same weights' shapes have groups of the same cost. Residual branches differ by what is in them. */
function formOf(graph: Graph, { name, group, groups, site, sites }: GatedBlock): string {
  if (group === "layers") return name;
  const shapeOf = (tensor: string): string => `[${graph.value(tensor)?.data?.shape.join()}]`;
  const slices = site.coupled.map(({ role, axis, tensor }) => `${role}${axis}:${shapeOf(tensor)}`).sort();
  return [group, groups, sites.length, site.axis, shapeOf(site.tensor), ...slices].join(";");
}
