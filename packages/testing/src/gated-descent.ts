import {
  collapse,
  type Factors,
  factorGradients,
  type GroupSet,
  type NdArray,
  ndArray,
  smoothPenaltyGradient,
  type TensorOps,
} from "@dgate/core";

/** Plain gradient descent on the smooth objective of one weight tensor. */
export interface DescentOptions {
  readonly lambda: number;
  readonly step: number;
  /** ∇L₀ at the collapsed weights. */
  readonly gradient: (weights: ArrayLike<number>) => Float64Array;
}

/** One step `θ ← θ − η·∇L(θ)` of all factors. */
export function descend(
  ops: TensorOps<NdArray>,
  set: GroupSet,
  factors: Factors<NdArray>,
  { lambda, step, gradient }: DescentOptions,
): Factors<NdArray> {
  const gradients = collapse(ops, set, factors).map(({ data, shape }) => ndArray(gradient(data), shape));
  return sgdStep(ops, set, factors, gradients, { lambda, step });
}

/** One step of all factors for given ∇_w L₀. */
export function sgdStep(
  ops: TensorOps<NdArray>,
  set: GroupSet,
  factors: Factors<NdArray>,
  gradients: readonly NdArray[],
  { lambda, step }: { readonly lambda: number; readonly step: number },
): Factors<NdArray> {
  const data = factorGradients(ops, set, factors, gradients);
  const penalty = smoothPenaltyGradient(ops, set, factors, lambda);
  const move = (x: NdArray, ...slopes: readonly NdArray[]): NdArray =>
    slopes.reduce((moved, slope) => ops.sub(moved, ops.scale(slope, step)), x);
  return {
    primary: factors.primary.map((x, m) => move(x, data.primary[m]!, penalty.primary[m]!)),
    gates: factors.gates.map((x, d) => move(x, data.gates[d]!, penalty.gates[d]!)),
  };
}
