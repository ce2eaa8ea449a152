import type { Value } from "@dgate/onnx";

/**
 * The order of a value's axes. `tfjs`: as the layers of the model see it. `onnx`: the last axis moved to place 1, as
 * ONNX wants the channels of convolution, pooling and batch normalisation. The two agree below rank 3.
 */
export type Layout = "tfjs" | "onnx";

export type TracedType = "float32" | "int32" | "bool";

/** A tensor of the model on its way through the export: what tfjs knows about it, and the graph values that hold it. */
export interface Traced {
  /** As tfjs sees it, batch first; `null` where the size is open. */
  readonly shape: readonly (number | null)[];
  readonly dtype: TracedType;
  /** At least one of them; the other appears when somebody asks for it. */
  readonly values: { tfjs?: Value; onnx?: Value };
}

/** `tfjs → onnx` as a Transpose permutation: `[0, r−1, 1, …, r−2]`. */
export function channelsForward(rank: number): number[] {
  return [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)];
}

/** `onnx → tfjs` as a Transpose permutation: `[0, 2, …, r−1, 1]`. */
export function channelsBackward(rank: number): number[] {
  return [0, ...Array.from({ length: rank - 2 }, (_, i) => i + 2), 1];
}

/** Where axis `axis` (0 to rank − 1) of the tfjs order lies in `layout`. */
export function axisIn(layout: Layout, axis: number, rank: number): number {
  return layout === "tfjs" || rank < 3 ? axis : channelsForward(rank).indexOf(axis);
}
