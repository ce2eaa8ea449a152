import {
  arrayOps,
  collapse,
  defineGroups,
  depthOf,
  type Factors,
  factorGradients,
  imbalance,
  type NdArray,
  penaltyGap,
  smoothPenalty,
  smoothPenaltyGradient,
  sparsePenalty,
} from "@dgate/core";

const ops = arrayOps("float64");

/** One group of two weights. */
const group = defineGroups([{ name: "w", shape: [2], layout: { kind: "tensor" } }]);

/** A group is dead at this norm. */
export const deadNorm = 1e-3;

/** The flow is followed so long. */
export const longestTime = 60;

/** Two coordinates of the plane. */
export type Point = readonly [number, number];

/** What the group is pulled to, and what it pays. */
export interface Pull {
  /** D. */
  readonly depth: number;
  readonly lambda: number;
  /** a, where the loss is least. */
  readonly target: Point;
}

/** Curvature of the loss: H, positive definite, with a long and a short axis. */
const curvature = [
  [1.4, 0.6],
  [0.6, 0.6],
] as const;

/** L₀(w) = ½ (w − a)ᵀ H (w − a). */
export function loss([x, y]: Point, [a, b]: Point): number {
  const [dx, dy] = lossGradient([x, y], [a, b]);
  return ((x - a) * dx + (y - b) * dy) / 2;
}

/** ∇L₀(w) = H (w − a). */
export function lossGradient([x, y]: Point, [a, b]: Point): Point {
  const [p, q] = [x - a, y - b];
  return [curvature[0][0] * p + curvature[0][1] * q, curvature[1][0] * p + curvature[1][1] * q];
}

/** The gated group at a time of the flow: t is the sum of the steps. */
export interface FlowState {
  readonly time: number;
  readonly factors: Factors<NdArray>;
}

/** What can be told of a state. */
export interface FlowRecord {
  readonly time: number;
  readonly weights: Point;
  /** ‖w‖. */
  readonly norm: number;
  /** ‖ω‖. */
  readonly primaryNorm: number;
  /** ω / ‖ω‖. */
  readonly direction: Point;
  /** γ, the same for all gates. */
  readonly gate: number;
  /** |‖ω‖² − γ²|. */
  readonly imbalance: number;
  /** L₀ and the smooth penalty. */
  readonly smooth: number;
  /** L₀ and the sparse penalty. */
  readonly sparse: number;
  readonly gap: number;
}

/** The factors of given weights of which each gate is γ: balanced where γ = ‖w‖^{1/D}. */
export function startAt(weights: Point, gate: number, depth: number): FlowState {
  const product = gate ** (depth - 1);
  return {
    time: 0,
    factors: {
      primary: [ops.constant([weights[0] / product, weights[1] / product], [2])],
      gates: Array.from({ length: depth - 1 }, () => ops.constant([gate], [1])),
    },
  };
}

const pointOf = ({ data }: NdArray): Point => [data[0]!, data[1]!];

/** −∇ of the smooth objective by all factors. */
function slope(factors: Factors<NdArray>, { lambda, target }: Pull): Factors<NdArray> {
  const [weights] = collapse(ops, group, factors);
  const gradient = ops.constant(lossGradient(pointOf(weights!), target), [2]);
  const data = factorGradients(ops, group, factors, [gradient]);
  const penalty = smoothPenaltyGradient(ops, group, factors, lambda);
  const down = (a: NdArray, b: NdArray): NdArray => ops.scale(ops.add(a, b), -1);
  return {
    primary: [down(data.primary[0]!, penalty.primary[0]!)],
    gates: data.gates.map((each, d) => down(each, penalty.gates[d]!)),
  };
}

/** factors + Σ scale · slope. */
function moved(
  factors: Factors<NdArray>,
  ...slopes: readonly (readonly [scale: number, slope: Factors<NdArray>])[]
): Factors<NdArray> {
  const plus = (x: NdArray, of: (slope: Factors<NdArray>) => NdArray): NdArray =>
    slopes.reduce((sum, [scale, each]) => ops.add(sum, ops.scale(of(each), scale)), x);
  return {
    primary: factors.primary.map((x, m) => plus(x, ({ primary }) => primary[m]!)),
    gates: factors.gates.map((x, d) => plus(x, ({ gates }) => gates[d]!)),
  };
}

/** Largest error of a step by itself. */
const tolerance = 1e-8;

/** Follows the gradient flow of the smooth objective for a time `dt`, in as many steps as it takes: far from balance the flow is fast at first. */
export function advance(state: FlowState, pull: Pull, dt: number): FlowState {
  const whole = step(state, pull, dt);
  const halves = step(step(state, pull, dt / 2), pull, dt / 2);
  if (distance(whole.factors, halves.factors) < tolerance || dt < 1e-6) return halves;
  return advance(advance(state, pull, dt / 2), pull, dt / 2);
}

const gapOf = (x: NdArray, y: NdArray): number => Math.hypot(...ops.sub(x, y).data);

function distance(a: Factors<NdArray>, b: Factors<NdArray>): number {
  return Math.hypot(
    ...a.primary.map((x, m) => gapOf(x, b.primary[m]!)),
    ...a.gates.map((x, d) => gapOf(x, b.gates[d]!)),
  );
}

/** A step of the classical Runge–Kutta method. */
function step({ time, factors }: FlowState, pull: Pull, dt: number): FlowState {
  const a = slope(factors, pull);
  const b = slope(moved(factors, [dt / 2, a]), pull);
  const c = slope(moved(factors, [dt / 2, b]), pull);
  const d = slope(moved(factors, [dt, c]), pull);
  const next = moved(factors, [dt / 6, a], [dt / 3, b], [dt / 3, c], [dt / 6, d]);
  return { time: time + dt, factors: next };
}

/** Measures a state. */
export function record({ time, factors }: FlowState, { lambda, target }: Pull): FlowRecord {
  const [collapsed] = collapse(ops, group, factors);
  const weights = pointOf(collapsed!);
  const primary = pointOf(factors.primary[0]!);
  const primaryNorm = Math.hypot(...primary);
  const base = loss(weights, target);
  return {
    time,
    weights,
    norm: Math.hypot(...weights),
    primaryNorm,
    direction: primaryNorm > 0 ? [primary[0] / primaryNorm, primary[1] / primaryNorm] : [1, 0],
    gate: factors.gates[0]!.data[0]!,
    imbalance: Math.abs(imbalance(ops, group, factors)[0]!.data[0]!),
    smooth: base + smoothPenalty(ops, group, factors, lambda).data[0]!,
    sparse: base + sparsePenalty(ops, group, [collapsed!], lambda, depthOf(group, factors)).data[0]!,
    // Rounding may leave −1e-17.
    gap: Math.max(0, penaltyGap(ops, group, factors, lambda).data[0]!),
  };
}

/** L₀(w) + λ‖w‖^{2/D}. */
export function sparseObjective(weights: Point, { depth, lambda, target }: Pull): number {
  const penalty = sparsePenalty(ops, group, [ops.constant(weights, [2])], lambda, depth);
  return loss(weights, target) + penalty.data[0]!;
}

/** The smooth objective where ω has a given direction and all gates are γ. */
export function smoothObjective(primaryNorm: number, gate: number, direction: Point, pull: Pull): number {
  const factors = {
    primary: [ops.constant([primaryNorm * direction[0], primaryNorm * direction[1]], [2])],
    gates: Array.from({ length: pull.depth - 1 }, () => ops.constant([gate], [1])),
  };
  const weights = pointOf(collapse(ops, group, factors)[0]!);
  return loss(weights, pull.target) + smoothPenalty(ops, group, factors, pull.lambda).data[0]!;
}

/** The λ from which on D = 2, the group lasso, leaves nothing of the group: ‖∇L₀(0)‖. */
export const lassoThreshold = (target: Point): number => Math.hypot(...lossGradient([0, 0], target));
