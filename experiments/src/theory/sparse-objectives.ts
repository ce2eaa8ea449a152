import { balancedFactors, collapse, directSubgradient, type NdArray, sparsePenalty } from "@dgate/core";
import { defineExperiment, type Run, type Setup } from "../experiment.ts";
import { mean, plusMinus } from "../report/figures.ts";
import {
  activeGroups,
  descendToRest,
  proximalToRest,
  f1,
  normsOf,
  ops,
  randomStart,
  regression,
  type Regression,
  safeGatedStep,
} from "./problem.ts";

interface PathSetup extends Setup {
  readonly depth: number;
  readonly groups: number;
  readonly groupSize: number;
  readonly rows: number;
  readonly relevant: number;
  readonly noise: number;
  readonly steps: number;
  /** λ as parts of the least one at which no group is left for D = 2. */
  readonly parts: readonly number[];
}

interface Ending {
  /** L₀ + λ Σ ‖w_j‖^{2/D}. */
  readonly objective: number;
  readonly support: readonly number[];
  readonly f1: number;
}

interface PathPoint {
  readonly lambda: number;
  readonly gated: Ending;
  readonly proximal: Ending;
  /** Largest slope of the sparse objective along the weights of groups that are left. */
  readonly slope: number;
}

interface PathResult {
  readonly path: readonly PathPoint[];
}

/** Fact 1 of design.md along whole paths, and which groups smaller exponents find. */
export const sparseObjectives = defineExperiment<PathSetup, PathResult>({
  name: "sparse-objectives",
  family: "theory",
  title: "D = 3 and D = 4 are L2,2/3 and L2,1/2",
  claim:
    "A minimum of the smooth objective is one of λ Σ ‖w_j‖^{2/D} (Kolb et al. 2025): the descent ends where the sparse objective is stationary. For D = 3 and 4 that " +
    "objective has many minima, and proximal gradient descent with its closed forms may end in another one from the same start.",
  version: 3,
  seeds: 5,
  setups: ({ quick, seeds }) =>
    seeds.flatMap((seed) =>
      [2, 3, 4].map((depth) =>
        quick
          ? {
              seed,
              depth,
              groups: 10,
              groupSize: 3,
              rows: 60,
              relevant: 3,
              noise: 1,
              steps: 20_000,
              parts: [0.5, 0.2],
            }
          : {
              seed,
              depth,
              groups: 30,
              groupSize: 4,
              rows: 160,
              relevant: 8,
              noise: 2,
              steps: 100_000,
              parts: Array.from({ length: 14 }, (_, i) => 0.9 * 0.75 ** i),
            },
      ),
    ),
  measure({ seed, depth, parts, steps, ...size }) {
    const problem = regression(seed, size);
    const columns = size.groups * size.groupSize;
    const step = safeGatedStep(problem, columns, depth);
    const start = randomStart(problem.set, depth, seed + 1000);
    const [origin] = collapse(ops, problem.set, start) as [NdArray];
    const path = parts.map((part): PathPoint => {
      const lambda = part * problem.lambdaMax;
      const balanced = balancedFactors(ops, problem.set, [origin], depth);
      const gated = descendToRest(problem, balanced, { lambda, step, most: steps });
      const proximal = proximalToRest(problem, origin, {
        lambda,
        step,
        most: steps,
        depth: closedForm(depth),
      });
      return {
        lambda,
        gated: endingOf(problem, gated, lambda, depth),
        proximal: endingOf(problem, proximal, lambda, depth),
        slope: activeSlope(problem, gated, lambda, depth),
      };
    });
    return { path };
  },
  conclude(runs) {
    const depths = [2, 3, 4];
    const points = runs.flatMap(({ result }) => result.path);
    const slope = Math.max(...points.map((point) => point.slope / point.lambda));
    const bests = depths.map((depth) => bestF1(ofDepth(runs, depth)));
    const worse = depths.map((depth) => excesses(ofDepth(runs, depth)));
    return {
      verdicts: [
        {
          claim: "the descent ends where the sparse objective is stationary",
          holds: slope < 1e-2,
          figure: `largest slope on groups that are left ${slope.toExponential(1)} λ`,
        },
        {
          claim: "where the objective is convex, D = 2, it ends as low as proximal gradient descent",
          holds: Math.abs(mean(worse[0]!)) < 1e-3,
          figure: `objective against the proximal one, mean: ${worse.map((each, i) => `D = ${depths[i]}: ${percent(mean(each))}`).join(", ")}`,
        },
      ],
      tables: [
        {
          title:
            "Best F1 of the groups that are left, against those that matter, along the path; and where the descent ends against proximal descent",
          header: [
            "",
            "F1",
            "objective against proximal, mean",
            "worst",
            "ends lower",
            "points with groups left",
          ],
          rows: depths.map((depth, i) => [
            `D = ${depth}`,
            plusMinus(bests[i]!, 3),
            percent(mean(worse[i]!)),
            percent(Math.max(...worse[i]!)),
            `${worse[i]!.filter((each) => each < -1e-9).length} of ${worse[i]!.length}`,
            String(
              ofDepth(runs, depth)
                .flatMap(({ result }) => result.path)
                .filter(({ gated }) => gated.support.length > 0).length,
            ),
          ]),
        },
      ],
      charts: [],
    };
  },
});

type PathRun = Run<PathSetup, PathResult>;

const ofDepth = (runs: readonly PathRun[], depth: number): readonly PathRun[] =>
  runs.filter(({ setup }) => setup.depth === depth);

const bestF1 = (runs: readonly PathRun[]): number[] =>
  runs.map(({ result }) => Math.max(...result.path.map(({ gated }) => gated.f1)));

/** By how much the objective of each point is above that of proximal descent. */
const excesses = (runs: readonly PathRun[]): number[] =>
  runs.flatMap(({ result }) =>
    result.path.map(({ gated, proximal }) => gated.objective / proximal.objective - 1),
  );

const percent = (part: number): string => `${part >= 0 ? "+" : "−"}${Math.abs(100 * part).toFixed(2)} %`;

function closedForm(depth: number): 2 | 3 | 4 {
  if (depth === 2 || depth === 3 || depth === 4) return depth;
  throw new Error(`unreachable: there is no closed form for D = ${depth}`);
}

function endingOf(problem: Regression, weights: NdArray, lambda: number, depth: number): Ending {
  const support = activeGroups(normsOf(problem.set, weights.data), 1e-5);
  const penalty = sparsePenalty(ops, problem.set, [weights], lambda, depth).data[0]!;
  return { objective: problem.loss(weights.data) + penalty, support, f1: f1(support, problem.relevant) };
}

function activeSlope(problem: Regression, weights: NdArray, lambda: number, depth: number): number {
  const [pull] = directSubgradient(ops, problem.set, [weights], lambda, 2 / depth) as [NdArray];
  const slope = problem.gradient(weights.data);
  const active = activeGroups(normsOf(problem.set, weights.data), 1e-5).flatMap((j) => problem.groups[j]!);
  return Math.max(0, ...active.map((column) => Math.abs(slope[column]! + pull.data[column]!)));
}
