import type { SiteKind, WeightName } from "./site.ts";

/** A weight's part in a site, before the layer's configuration is known. */
export interface MemberRow {
  readonly weight: WeightName;
  /** −1: the whole tensor is one group. */
  readonly axis: number;
  /** Configuration key that says how many indices belong to one group; 1 if left out. */
  readonly perGroup?: "depthMultiplier";
}

/** What can be gated in one layer class. */
export interface LayerRow {
  /** All weights that training changes, in the order in which the layer builds them. */
  readonly weights: readonly WeightName[];
  /** The site whose groups are the units of the layer's output: removing a group narrows the output. */
  readonly unit: SiteKind;
  /** Whether that site is gated when no rule says otherwise. */
  readonly byDefault: boolean;
  /**
   * Whether the offset (`bias`, `beta`) belongs to the unit's group when nobody says otherwise. Filters take it along,
   * so that a dead filter emits the same constant everywhere, at padded borders too. Dense neurons leave it ungated as
   * in the paper; the constant that a dead neuron emits folds exactly into the next bias.
   */
  readonly offset: boolean;
  readonly sites: { readonly [kind in SiteKind]?: readonly MemberRow[] };
}

const bias: MemberRow = { weight: "bias", axis: 0 };

/** Sites of a convolution with one kernel, given its axes of filters and input channels. */
function convolution(filters: number, channels: number): LayerRow {
  return {
    weights: ["kernel", "bias"],
    unit: "filters",
    byDefault: true,
    offset: true,
    sites: {
      filters: [{ weight: "kernel", axis: filters }, bias],
      channels: [{ weight: "kernel", axis: channels }],
      layer: [
        { weight: "kernel", axis: -1 },
        { weight: "bias", axis: -1 },
      ],
    },
  };
}

/** Layer classes that can be gated. Axes are those of tfjs weights (`[in, out]`, `[height, width, in, out]`). */
export const layerTable: ReadonlyMap<string, LayerRow> = new Map<string, LayerRow>([
  [
    "Dense",
    {
      weights: ["kernel", "bias"],
      unit: "neurons",
      byDefault: true,
      offset: false,
      sites: {
        neurons: [{ weight: "kernel", axis: 1 }, bias],
        inputs: [{ weight: "kernel", axis: 0 }],
        layer: [
          { weight: "kernel", axis: -1 },
          { weight: "bias", axis: -1 },
        ],
      },
    },
  ],
  ["Conv1D", convolution(2, 1)],
  ["Conv2D", convolution(3, 2)],
  ["Conv2DTranspose", convolution(2, 3)],
  [
    "DepthwiseConv2D",
    {
      weights: ["depthwiseKernel", "bias"],
      unit: "channels",
      byDefault: true,
      offset: true,
      sites: {
        channels: [
          { weight: "depthwiseKernel", axis: 2 },
          { weight: "bias", axis: 0, perGroup: "depthMultiplier" },
        ],
        layer: [
          { weight: "depthwiseKernel", axis: -1 },
          { weight: "bias", axis: -1 },
        ],
      },
    },
  ],
  [
    "SeparableConv2D",
    {
      weights: ["depthwiseKernel", "pointwiseKernel", "bias"],
      unit: "filters",
      byDefault: true,
      offset: true,
      sites: {
        filters: [{ weight: "pointwiseKernel", axis: 3 }, bias],
        channels: [{ weight: "depthwiseKernel", axis: 2 }],
        layer: [
          { weight: "depthwiseKernel", axis: -1 },
          { weight: "pointwiseKernel", axis: -1 },
          { weight: "bias", axis: -1 },
        ],
      },
    },
  ],
  [
    "Embedding",
    {
      weights: ["embeddings"],
      unit: "dimensions",
      byDefault: true,
      offset: false,
      sites: {
        dimensions: [{ weight: "embeddings", axis: 1 }],
        layer: [{ weight: "embeddings", axis: -1 }],
      },
    },
  ],
  [
    "BatchNormalization",
    {
      weights: ["gamma", "beta"],
      unit: "scale",
      // Gated by itself only on request: behind a gateable layer it carries that layer's gates anyway.
      byDefault: false,
      offset: true,
      sites: {
        scale: [
          { weight: "gamma", axis: 0 },
          { weight: "beta", axis: 0 },
        ],
      },
    },
  ],
]);

/** Recurrent layers reuse their weights at every step, so that no slice of them stands for one unit alone. */
export const recurrentLayers: ReadonlySet<string> = new Set([
  "RNN",
  "SimpleRNN",
  "GRU",
  "LSTM",
  "ConvLSTM2D",
  "Bidirectional",
]);

/** Layers that act on each unit (channel) by itself: behind them, too, unit j is channel j of a BatchNormalization. */
export const unitwiseLayers: ReadonlySet<string> = new Set([
  "Activation",
  "ReLU",
  "LeakyReLU",
  "ELU",
  "PReLU",
  "ThresholdedReLU",
  "Dropout",
  "SpatialDropout1D",
  "GaussianDropout",
  "GaussianNoise",
  "AlphaDropout",
  "MaxPooling1D",
  "MaxPooling2D",
  "AveragePooling1D",
  "AveragePooling2D",
  "GlobalMaxPooling1D",
  "GlobalMaxPooling2D",
  "GlobalAveragePooling1D",
  "GlobalAveragePooling2D",
]);

/** Whether a weight is the offset of its layer. */
export function isOffset(weight: WeightName): boolean {
  return weight === "bias" || weight === "beta";
}

/** Name of a weight's option (`kernelRegularizer`, `depthwiseConstraint`) in its layer. */
export function optionOf(weight: WeightName, option: "Regularizer" | "Constraint"): string {
  return `${weight.replace(/Kernel$/, "")}${option}`;
}
