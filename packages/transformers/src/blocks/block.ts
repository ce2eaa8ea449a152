import type { AttentionLayer, Site } from "@dgate/onnx";

/** What of a model can be gated here: attention heads, neurons of feed-forward layers, whole residual branches. */
export type SiteGroup = "heads" | "ffn" | "layers";

/** Groups of one kind in one place of a model, with the slice that reads what they give. */
export interface GatedBlock {
  /** Name of the site in the graph. */
  readonly name: string;
  readonly group: SiteGroup;
  /** Position among the blocks of the same group in its file, from 0. */
  readonly layer: number;
  /** ONNX file without dtype and ending. */
  readonly file: string;
  /** Number of groups: heads (of grouped-query attention key–value heads with their queries), neurons, or 1. */
  readonly groups: number;
  readonly site: Site;
  /** Sites that share the groups (both halves of a gated feed-forward layer); the first is `site`. */
  readonly sites: readonly Site[];
  /** The attention layer, of heads. */
  readonly attention?: AttentionLayer;
  /** Whether the layer keeps keys and values in a cache of the model. */
  readonly cached?: boolean;
}

/** What was found at a place where a model attends or has a feed-forward layer, or why nothing of it can be removed. */
export interface BlockFinding {
  readonly file: string;
  readonly name: string;
  readonly group: SiteGroup;
  /** True, or the reason. */
  readonly gated: true | string;
  readonly detail: string;
}
