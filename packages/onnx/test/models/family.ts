import type { Graph } from "@dgate/onnx";

/** A network family of which every width grows with one number. */
export interface Family {
  readonly name: string;
  /** Width of the dense network; sparsities of 1/4, 1/2 and 3/4 must leave whole numbers of groups. */
  readonly width: number;
  /** The forms that exporters give it. */
  readonly variants: readonly string[];
  /** Sizes of the model's named dimensions. */
  readonly dims?: Readonly<Record<string, number>>;
  readonly build: (width: number, variant: string) => Graph;
  /** Multiply–adds for one image, counted by hand. */
  readonly macs: (width: number, variant: string) => number;
  /** The sites to prune; all by default. */
  readonly chosen?: readonly string[];
  /** Layers that can be pruned, and the channel spaces that they share. */
  readonly prunable: (variant: string) => { readonly sites: number; readonly channels: number };
  /** Why channels whose biases stay may be kept back, besides zero padding. */
  readonly heldBack?: (variant: string) => RegExp | undefined;
  /** Sites that cannot be pruned, by reason. */
  readonly blocked: (variant: string) => Readonly<Record<string, readonly string[]>>;
}
