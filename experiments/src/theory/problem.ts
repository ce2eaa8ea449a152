import {
  arrayOps,
  balancedFactors,
  collapse,
  defineGroups,
  type Factors,
  type GroupSet,
  ndArray,
  proximalStep,
  type NdArray,
  randomGenerator,
  squaredGroupNorms,
} from "@dgate/core";
import { descend, regressionProblem, type RegressionProblem, solveGroupLasso } from "@dgate/testing/numerics";

/** All of theory is computed in float64. */
export const ops = arrayOps("float64");

/** Group-lasso regression `‖Xw − y‖²/(2·rows)`, of which the first groups alone matter. */
export interface Regression extends RegressionProblem {
  readonly set: GroupSet;
  readonly relevant: number;
  /** The least λ of D = 2 at which no group is left: max_j ‖∇_j L₀(0)‖. */
  readonly lambdaMax: number;
}

export interface RegressionSize {
  readonly groups: number;
  readonly groupSize: number;
  readonly rows: number;
  readonly relevant: number;
  readonly noise: number;
}

export function regression(seed: number, size: RegressionSize): Regression {
  const problem = regressionProblem({ seed, ...size });
  const { groups, groupSize, relevant } = size;
  const layout = { kind: "blocks", axis: 0, blockSize: groupSize } as const;
  const set = defineGroups([{ name: "w", shape: [groups * groupSize], layout }]);
  const slope = problem.gradient(new Float64Array(groups * groupSize));
  return { ...problem, set, relevant, lambdaMax: Math.max(...normsOf(set, slope)) };
}

/** ‖w_j‖ of every group. */
export function normsOf(set: GroupSet, weights: ArrayLike<number>): number[] {
  const data = Float64Array.from(weights);
  return Array.from(squaredGroupNorms(ops, set, [ndArray(data, [data.length])]).data, Math.sqrt);
}

/** Random weights of which no group is zero, as balanced factors. */
export function randomStart(set: GroupSet, depth: number, seed: number): Factors<NdArray> {
  const random = randomGenerator(seed);
  const count = set.members[0]!.shape[0]!;
  const start = Float64Array.from({ length: count }, () => 0.5 * random.normal());
  return balancedFactors(ops, set, [ndArray(start, [count])], depth);
}

/** Groups whose norm is above a part of the largest, and above 1e-6: where all are gone, none is left. */
export function activeGroups(norms: readonly number[], part: number): number[] {
  const floor = Math.max(1e-6, part * Math.max(...norms));
  return [...norms.keys()].filter((j) => norms[j]! > floor);
}

/** Largest step at which gradient descent on `Gw` is stable, halved: 1 / largest eigenvalue of G, by the power method. */
export function safeStep({ gradient }: RegressionProblem, columns: number): number {
  const origin = gradient(new Float64Array(columns));
  let vector = new Float64Array(columns).fill(1 / Math.sqrt(columns));
  let eigenvalue = 1;
  for (let i = 0; i < 50; i += 1) {
    const image = gradient(vector).map((value, k) => value - origin[k]!);
    eigenvalue = Math.hypot(...image);
    vector = image.map((value) => value / eigenvalue);
  }
  return 1 / eigenvalue;
}

/**
 * A step at which gradient descent on the factors is stable: they bend the loss up to D·‖w_j‖^{2−2/D} times as much as the weights do, here of the largest group
 * that there is with hardly any penalty.
 */
export function safeGatedStep(problem: Regression, columns: number, depth: number): number {
  const { weights } = solveGroupLasso({ ...problem, lambda: 1e-3 * problem.lambdaMax });
  const largest = Math.max(1, ...normsOf(problem.set, weights));
  return safeStep(problem, columns) / (depth * largest ** (2 - 2 / depth));
}

/** Harmonic mean of how many chosen groups matter and how many that matter were chosen. */
export function f1(chosen: readonly number[], relevant: number): number {
  const right = chosen.filter((j) => j < relevant).length;
  return (2 * right) / (chosen.length + relevant);
}

/** How far a descent goes. */
export interface DescentLimits {
  readonly lambda: number;
  readonly step: number;
  /** Most steps. */
  readonly most: number;
}

/** Weights at which gradient descent on the smooth objective comes to rest. */
export function descendToRest(
  { set, gradient }: Regression,
  start: Factors<NdArray>,
  limits: DescentLimits,
): NdArray {
  let factors = start;
  const step = (): void => {
    factors = descend(ops, set, factors, { ...limits, gradient });
  };
  return toRest(limits.most, step, () => (collapse(ops, set, factors) as [NdArray])[0]);
}

/** Weights at which proximal gradient descent on the sparse objective comes to rest. */
export function proximalToRest(
  { set, gradient }: Regression,
  start: NdArray,
  { lambda, step: size, most, depth }: DescentLimits & { readonly depth: 2 | 3 | 4 },
): NdArray {
  let weights = start;
  const step = (): void => {
    const slope = gradient(weights.data);
    const moved = ndArray(
      weights.data.map((w, k) => w - size * slope[k]!),
      weights.shape,
    );
    [weights] = proximalStep(set, [moved], size * lambda, depth) as [NdArray];
  };
  return toRest(most, step, () => weights);
}

/** Steps until no weight moves by more than 1e-11 in a hundred of them. */
function toRest(most: number, step: () => void, weights: () => NdArray): NdArray {
  let before = weights();
  for (let i = 0; i < most; i += 100) {
    for (let k = 0; k < 100; k += 1) step();
    const now = weights();
    const moved = Math.max(...Array.from(now.data, (value, k) => Math.abs(value - before.data[k]!)));
    before = now;
    if (moved < 1e-11) break;
  }
  return before;
}
