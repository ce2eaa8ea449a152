import { type AttentionLayer, findAttention, findSites, type Graph, type Site } from "@dgate/onnx";
import { isMerged, plainDecoder } from "../decoder/plain-decoder.ts";
import type { BlockFinding, GatedBlock } from "./block.ts";
import { unrecognisedAttention } from "./unrecognised-attention.ts";

/** The blocks of one file, and what was found at every place. */
export interface FoundBlocks {
  readonly sites: readonly Site[];
  readonly blocks: readonly GatedBlock[];
  readonly findings: readonly BlockFinding[];
}

/**
 * Attention heads, feed-forward neurons and residual branches of a graph, in the order of its nodes.
 *
 * A feed-forward layer is recognised by what it does: its neurons are read by the last weight of a residual branch that does not attend. So
 * the pooler, a classifier and the residual stream itself are none.
 */
export function findBlocks(graph: Graph, file: string): FoundBlocks {
  const sites = findSites(graph);
  const attention = findAttention(graph);
  const layers = residualBranches(graph, sites);
  const heads = attention.flatMap((layer) => headBlock(graph, sites, layer, file));
  const ffn = ffnSites(sites, layers);
  const blocks = numbered([
    ...heads.flatMap(({ block }) => block ?? []),
    ...ffn.map(
      (own): Unnumbered => ({
        name: own[0]!.name,
        group: "ffn",
        file,
        groups: own[0]!.groups,
        site: own[0]!,
        sites: own,
      }),
    ),
    ...layers.flatMap((site): Unnumbered[] =>
      site.prunable === true
        ? [{ name: site.name, group: "layers", file, groups: 1, site, sites: [site] }]
        : [],
    ),
  ]);
  const findings: BlockFinding[] = [
    ...heads.map(({ finding }) => finding),
    ...unrecognisedAttention(graph, attention).map(({ name, reason }): BlockFinding => {
      return { file, name, group: "heads", gated: reason, detail: "Softmax" };
    }),
    ...ffn.map(
      ([site]): BlockFinding => ({
        file,
        name: site!.node,
        group: "ffn",
        gated: true,
        detail: `${site!.groups} neurons`,
      }),
    ),
    ...layers.map(({ node, prunable }): BlockFinding => {
      return { file, name: node, group: "layers", gated: prunable, detail: "residual branch" };
    }),
  ];
  return { sites, blocks, findings };
}

/**
 * Residual branches. The two branches of a merged decoder share their weights, so that no weight ends one residual branch alone: they are those
 * of its first step, and cannot be removed.
 */
function residualBranches(graph: Graph, sites: readonly Site[]): readonly Site[] {
  const merged = isMerged(graph);
  const all = merged ? findSites(plainDecoder(graph).graph) : sites;
  const layers = all.filter(({ kind }) => kind === "layers");
  const prunable = "both branches of the merged decoder hold it; prune its heads and neurons";
  return merged ? layers.map((site) => ({ ...site, prunable })) : layers;
}

type Unnumbered = Omit<GatedBlock, "layer">;

function numbered(blocks: readonly Unnumbered[]): GatedBlock[] {
  const counts = new Map<string, number>();
  return blocks.map((block) => {
    const layer = counts.get(block.group) ?? 0;
    counts.set(block.group, layer + 1);
    return { ...block, layer };
  });
}

function headBlock(
  graph: Graph,
  sites: readonly Site[],
  layer: AttentionLayer,
  file: string,
): [{ readonly block: Unnumbered | undefined; readonly finding: BlockFinding }] {
  const { name, heads, kvHeads, headDim, form, prunable } = layer;
  const site = sites.find((each) => each.kind === "heads" && each.node === name);
  const grouped = kvHeads !== heads ? `, ${kvHeads} key–value heads` : "";
  const detail = `${heads} heads of ${headDim || "?"}${grouped}, ${form}`;
  const reason =
    prunable !== true
      ? prunable
      : (site?.prunable ??
        "no weight of its own holds its heads: it shares them with a layer before it, whose gates are for both");
  const finding: BlockFinding = { file, name, group: "heads", gated: reason, detail };
  if (!site || reason !== true) return [{ block: undefined, finding }];
  const cached = graph.inputs.some(
    (input) => input.name.startsWith("past_key_values.") || /^past(_|\.)/.test(input.name),
  );
  return [
    {
      block: {
        name: site.name,
        group: "heads",
        file,
        groups: site.groups,
        site,
        sites: [site],
        attention: layer,
        cached,
      },
      finding,
    },
  ];
}

/** Sites of neurons that the last weight of a residual branch reads; those on the same channels together. */
function ffnSites(sites: readonly Site[], layers: readonly Site[]): Site[][] {
  const ends = new Set(layers.map(({ tensor }) => tensor));
  const streams = new Map<number, Site[]>();
  for (const site of sites) {
    if (site.kind !== "neurons" || site.prunable !== true) continue;
    // What writes into the residual stream ends a branch itself.
    if (ends.has(site.tensor)) continue;
    const isRead = site.coupled.some(({ tensor, role }) => role === "consumer" && ends.has(tensor));
    if (isRead) streams.set(site.channel, [...(streams.get(site.channel) ?? []), site]);
  }
  return [...streams.values()];
}
