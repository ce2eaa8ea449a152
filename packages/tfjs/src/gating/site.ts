/**
 * What a site's groups are.
 *
 * - `neurons`     columns of a Dense kernel
 * - `inputs`      rows of a Dense kernel: input features
 * - `filters`     output channels of a convolution, or the scale and offset of the BatchNormalization behind it
 * - `channels`    input channels of a convolution (for DepthwiseConv2D these are its channels, in and out)
 * - `dimensions`  columns of an Embedding table
 * - `scale`       scale and offset of a BatchNormalization that follows no gateable layer
 * - `layer`       all weights of one layer as a single group
 */
export type SiteKind = "neurons" | "inputs" | "filters" | "channels" | "dimensions" | "scale" | "layer";

/** Weights that may belong to a group, by the name that tfjs gives to the layer's property. */
export type WeightName =
  | "kernel"
  | "bias"
  | "depthwiseKernel"
  | "pointwiseKernel"
  | "embeddings"
  | "gamma"
  | "beta";

/** One weight tensor of a site: its slices along `axis` belong to the groups, `blockSize` indices to each. */
export interface SiteMember {
  /** Name of the layer that owns the weight; inside a nested model `outer/inner`. */
  readonly layer: string;
  readonly weight: WeightName;
  /** Axis of the tfjs weight tensor (HWIO and friends); −1 where the whole tensor is one group. */
  readonly axis: number;
  readonly blockSize: number;
}

/** A place of a gated model: coupled slices of one or more weights, one gate vector for each group. */
export interface GatedSite {
  /** `${layer}.${kind}`, unique in its model. */
  readonly name: string;
  readonly kind: SiteKind;
  /** The layer whose neurons, filters, … the groups are; the gates may sit on the BatchNormalization behind it. */
  readonly layer: string;
  readonly groups: number;
  /** Gates and the smooth penalty (`gate`), or no gates and the sparse penalty itself (`directPenalty`). */
  readonly method: "gates" | "direct";
  /** D: the sparse penalty's exponent is 2/D. */
  readonly depth: number;
  readonly lambda: number;
  readonly members: readonly SiteMember[];
}
