import type { DataType } from "../graph/tensor.ts";
import type { Coupling, Occurrence } from "../coupling/analyse.ts";

/**
 * What the groups of a site are: outputs of Gemm and MatMul (`neurons`) or Conv and ConvTranspose (`filters`), attention
 * heads (of grouped-query attention: key–value heads with their queries), the queries of every key–value head (`queries`),
 * the indices within every head (`headDims`), whole residual branches (`layers`), features of the model's inputs (`inputs`), columns of an embedding (`dimensions`).
 */
export type SiteKind = (typeof siteKinds)[number];

/** All kinds of sites. */
export const siteKinds = [
  "neurons",
  "filters",
  "heads",
  "queries",
  "headDims",
  "layers",
  "inputs",
  "dimensions",
] as const;

/**
 * What a coupled tensor does with the channels: `producer` makes them (rows of zeros there make the channel constant),
 * `consumer` reads them, `parameter` scales or shifts them (bias, normalisation scale), `statistics` are running means and
 * variances, scales and zero points, which follow a cut but are never zeroed.
 */
export type CoupledRole = "producer" | "consumer" | "parameter" | "statistics";

/** Slices of a tensor that go together with the groups of a site. */
export interface CoupledSlice {
  readonly tensor: string;
  readonly axis: number;
  /** Size of that axis. */
  readonly axisSize: number;
  readonly role: CoupledRole;
  /** Where group g stands on the axis: see `Occurrence`. */
  readonly places: readonly Occurrence[];
}

/** Where the branch of a `layers` site meets the stream that it is added to. */
export interface ResidualBranch {
  /** Output of the residual Add, by name. */
  readonly sum: string;
  /** Which operand of the Add the branch is. */
  readonly operand: 0 | 1;
  /** Element type and channels of what the branch adds. */
  readonly dtype: DataType;
  readonly channels: number;
  /**
   * What is left of the branch when its weight is zero: `nothing`, its biases (nothing if the plan takes them too), or
   * `always` something, because other layers use the same bias.
   */
  readonly emits: "nothing" | "biases" | "always";
}

/** What the sites of one model share. Internal: planning reads the model's costs and coupled weights from it. */
interface SiteSource {
  readonly coupling: Coupling;
  /** By the names of the sites of kind `layers`. */
  readonly branches: ReadonlyMap<string, ResidualBranch>;
}

/** A place in a model where groups of channels can be removed. Plain data but for its functions. */
export interface Site {
  /** `node.kind`, unique in the model. */
  readonly name: string;
  readonly kind: SiteKind;
  /** The layer: a node's name, of heads that of the attention layer. */
  readonly node: string;
  /** The initializer that makes the channels, and its axis. */
  readonly tensor: string;
  readonly axis: number;
  /** Size of that axis. */
  readonly axisSize: number;
  readonly groups: number;
  /** Indices of the axis per group. */
  readonly blockSize: number;
  /** Where group g stands on the axis. */
  readonly places: readonly Occurrence[];
  /** True, or why nothing of it can be removed. */
  readonly prunable: true | string;
  /** Sites with the same number share their channels (a residual stream): their groups go together or stay. */
  readonly channel: number;
  /** Slices of other tensors that go with the groups. */
  readonly coupled: readonly CoupledSlice[];
  /** Of the model; goes into plans. */
  readonly fingerprint: string;
  /** ‖w_j‖₂ of each group's slice of `tensor`; of a layer, see `addLayerSites`. */
  readonly norms: () => Float64Array;
  /** What planning needs beside the site: see `SiteSource`. */
  readonly source: () => SiteSource;
}
