import {
  arrayOps,
  balancedFactors,
  collapse,
  defineGroups,
  type Factors,
  factorGradients,
  type NdArray,
  ndArray,
  randomGenerator,
  smoothPenaltyGradient,
  squaredGroupNorms,
} from "@dgate/core";

const ops = arrayOps("float64");

/** A drawn regression: y = Xw + noise, of which some groups of columns matter. */
export interface RegressionSetup {
  readonly seed: number;
  readonly groups: number;
  readonly groupSize: number;
  readonly rows: number;
  /** How many groups the targets depend on. */
  readonly relevant: number;
  /** Standard deviation of the noise. */
  readonly noise: number;
  /** D. */
  readonly depth: number;
  /** How many λ, from one that leaves nothing down to a fortieth of it. */
  readonly points: number;
  /** Steps of gradient descent for each. */
  readonly steps: number;
}

/** Where gradient descent ends at one λ. */
export interface PathPoint {
  readonly lambda: number;
  /** ‖w_j‖ of every group. */
  readonly norms: readonly number[];
  /**
   * How far this is from a stationary point of the sparse objective: the largest over the groups of ‖∇_j L₀ + ∇ λ‖w_j‖^{2/D}‖ or, for what is all but
   * dead, of its norm and (D = 2) of what ‖∇_j L₀‖ has over λ. With D = 2 these are the optimality conditions of the group lasso.
   */
  readonly violation: number;
}

/** What is known before the path. */
export interface RegressionTruth {
  /** Groups that matter. */
  readonly relevant: readonly number[];
  /** The least λ at which the group lasso leaves nothing. */
  readonly lambdaMax: number;
}

interface Problem extends RegressionTruth {
  /** ∇L₀(w) = Gw − c of L₀ = ‖Xw − y‖² / (2·rows). */
  readonly gradient: (weights: ArrayLike<number>) => Float64Array;
  /** A bound of the largest eigenvalue of G. */
  readonly curvature: number;
}

function drawProblem({ seed, groups, groupSize, rows, relevant, noise }: RegressionSetup): Problem {
  const random = randomGenerator(seed);
  const columns = groups * groupSize;
  const chosen = random
    .shuffle(Array.from({ length: groups }, (_, j) => j))
    .slice(0, relevant)
    .sort((a, b) => a - b);
  const truth = Float64Array.from({ length: columns }, (_, i) =>
    chosen.includes(Math.floor(i / groupSize)) ? random.normal() : 0,
  );
  const gram = new Float64Array(columns * columns);
  const correlation = new Float64Array(columns);
  for (let r = 0; r < rows; r++) {
    const row = Float64Array.from({ length: columns }, () => random.normal());
    const y = row.reduce((sum, x, i) => sum + x * truth[i]!, noise * random.normal());
    for (let a = 0; a < columns; a++) {
      correlation[a]! += (row[a]! * y) / rows;
      for (let b = 0; b < columns; b++) gram[a * columns + b]! += (row[a]! * row[b]!) / rows;
    }
  }
  const gradient = (weights: ArrayLike<number>): Float64Array =>
    Float64Array.from({ length: columns }, (_, a) => {
      let sum = -correlation[a]!;
      for (let b = 0; b < columns; b++) sum += gram[a * columns + b]! * weights[b]!;
      return sum;
    });
  const blocks = Array.from({ length: groups }, (_, j) =>
    Math.hypot(...correlation.subarray(j * groupSize, (j + 1) * groupSize)),
  );
  // Of a Gram matrix of normal columns (Marchenko and Pastur 1967), with room.
  const curvature = 1.1 * (1 + Math.sqrt(columns / rows)) ** 2;
  return { relevant: chosen, lambdaMax: Math.max(...blocks), gradient, curvature };
}

/**
 * Follows D-Gating along a path of λ, by gradient descent with momentum on the smooth objective, from a random balanced start for each.
 *
 * @param onPoint called after each λ; it may wait
 */
export async function followPath(
  setup: RegressionSetup,
  {
    onTruth,
    onPoint,
  }: {
    readonly onTruth?: (truth: RegressionTruth) => void | Promise<void>;
    readonly onPoint: (point: PathPoint) => void | Promise<void>;
  },
): Promise<void> {
  const { groups, groupSize, depth, points, steps, seed } = setup;
  const { gradient, curvature, ...truth } = drawProblem(setup);
  await onTruth?.(truth);
  const set = defineGroups([
    {
      name: "w",
      shape: [groups * groupSize],
      layout: { kind: "blocks", axis: 0, blockSize: groupSize },
    },
  ]);
  for (let i = 0; i < points; i++) {
    const lambda = 1.05 * truth.lambdaMax * 40 ** (-i / (points - 1));
    let motion: Motion = { factors: startOf(set, depth, seed + i), last: undefined };
    // Factors of ‖w‖ = 3 multiply the curvature of the loss by up to D·3^{2 − 2/D}.
    const step = 1 / (curvature * depth * 3 ** (2 - 2 / depth));
    for (let s = 0; s < steps; s++) motion = descend(set, motion, { lambda, step, gradient });
    const weights = collapse(ops, set, motion.factors)[0]!;
    const norms = Array.from(squaredGroupNorms(ops, set, [weights]).data, Math.sqrt);
    await onPoint({ lambda, norms, violation: violationOf(weights, norms, { lambda, depth, gradient }) });
  }
}

type Groups = ReturnType<typeof defineGroups>;

/** Random weights of norm about 1 in every group, balanced. */
function startOf(set: Groups, depth: number, seed: number): Factors<NdArray> {
  const random = randomGenerator(seed + 1000);
  const size = set.members[0]!.shape[0]!;
  const scale = 1 / Math.sqrt(size / set.groups);
  const weights = ops.constant(
    Array.from({ length: size }, () => scale * random.normal()),
    [size],
  );
  return balancedFactors(ops, set, [weights], depth);
}

interface Objective {
  readonly lambda: number;
  readonly gradient: Problem["gradient"];
}

/** Factors, and how far each of them moved in the last step. */
interface Motion {
  readonly factors: Factors<NdArray>;
  readonly last: Factors<NdArray> | undefined;
}

const momentum = 0.9;

/** One step of gradient descent with momentum, of all factors. */
function descend(
  set: Groups,
  { factors, last }: Motion,
  { lambda, step, gradient }: Objective & { readonly step: number },
): Motion {
  const slopes = collapse(ops, set, factors).map(({ data, shape }) => ndArray(gradient(data), shape));
  const data = factorGradients(ops, set, factors, slopes);
  const penalty = smoothPenaltyGradient(ops, set, factors, lambda);
  const move = (a: NdArray, b: NdArray, before: NdArray | undefined): NdArray => {
    const down = ops.scale(ops.add(a, b), -step);
    return before ? ops.add(down, ops.scale(before, momentum)) : down;
  };
  const moves = {
    primary: data.primary.map((each, m) => move(each, penalty.primary[m]!, last?.primary[m])),
    gates: data.gates.map((each, d) => move(each, penalty.gates[d]!, last?.gates[d])),
  };
  return {
    factors: {
      primary: factors.primary.map((x, m) => ops.add(x, moves.primary[m]!)),
      gates: factors.gates.map((x, d) => ops.add(x, moves.gates[d]!)),
    },
    last: moves,
  };
}

/** Norms below it count as zero. */
export const zeroNorm = 1e-4;

function violationOf(
  { data }: NdArray,
  norms: readonly number[],
  { lambda, depth, gradient }: Objective & { readonly depth: number },
): number {
  const slopes = gradient(data);
  const size = data.length / norms.length;
  const each = norms.map((norm, j) => {
    const own = Array.from({ length: size }, (_, k) => j * size + k);
    const slope = Math.hypot(...own.map((i) => slopes[i]!));
    // Zero is a minimum along the group for every λ where D > 2; a group that is all but dead is as far from it as its norm.
    const toZero = norm + (depth === 2 ? Math.max(0, slope - lambda) : 0);
    if (norm === 0) return toZero;
    // ∇ ‖w‖^{2/D} = (2/D) ‖w‖^{2/D − 2} w
    const factor = (2 / depth) * lambda * norm ** (2 / depth - 2);
    return Math.min(toZero, Math.hypot(...own.map((i) => slopes[i]! + factor * data[i]!)));
  });
  return Math.max(...each);
}
