import { collapse, directSubgradient, type Factors, type NdArray, ndArray } from "@dgate/core";
import { descend, solveGroupLasso } from "@dgate/testing/numerics";
import { defineExperiment, type Run, type Setup } from "../experiment.ts";
import { normsOf, ops, randomStart, regression, type Regression, safeStep } from "./problem.ts";

interface DirectSetup extends Setup {
  readonly method: Method;
  readonly steps: number;
  readonly part: number;
}

const methods = ["direct, constant", "direct, annealed", "D = 2", "D = 3", "D = 4"] as const;
type Method = (typeof methods)[number];

interface DirectResult {
  /** Step, and the smallest and the largest norm of the groups that the group lasso removes. */
  readonly curve: readonly (readonly [step: number, smallest: number, largest: number])[];
}

export const directNeverZero = defineExperiment<DirectSetup, DirectResult>({
  name: "direct-subgradient",
  family: "theory",
  title: "The direct sub-gradient does not reach zero",
  claim:
    "Followed by gradient descent with a constant rate, the sub-gradient of λ Σ ‖w_j‖ keeps superfluous groups away from zero; gated ones go to zero " +
    "(Kolb et al. 2025).",
  version: 2,
  seeds: 5,
  setups: ({ quick, seeds }) =>
    seeds.flatMap((seed) =>
      methods.map((method) => ({ seed, method, steps: quick ? 4000 : 20_000, part: 0.4 })),
    ),
  measure({ seed, method, steps, part }) {
    const problem = regression(seed, { groups: 12, groupSize: 3, rows: 120, relevant: 4, noise: 0.3 });
    const lambda = part * problem.lambdaMax;
    const step = safeStep(problem, 36) / 4;
    const { support } = solveGroupLasso({ ...problem, lambda });
    const superfluous = [...problem.groups.keys()].filter((j) => !support.includes(j));
    const walk = method.startsWith("direct")
      ? directWalk(problem, seed, lambda, (i) =>
          method.includes("annealed") ? step * (1 - i / steps) : step,
        )
      : gatedWalk(problem, seed, lambda, step, Number(method.at(-1)));
    const curve: [number, number, number][] = [];
    for (let i = 0; i <= steps; i += 1) {
      const weights = walk(i);
      if (i % (steps / 40) === 0) {
        const norms = normsOf(problem.set, weights);
        const gone = superfluous.map((j) => norms[j]!);
        curve.push([i, Math.min(...gone), Math.max(...gone)]);
      }
    }
    return { curve };
  },
  conclude(runs) {
    const last = (method: Method) => of(runs, method).map(({ result }) => result.curve.at(-1)!);
    const direct = last("direct, constant").map(([, smallest]) => smallest);
    const annealed = last("direct, annealed").map(([, smallest]) => smallest);
    const gated = methods.slice(2).flatMap((method) => last(method).map(([, , largest]) => largest));
    return {
      verdicts: [
        {
          claim: "with a constant rate every superfluous group stays away from zero",
          holds: Math.min(...direct) > 1e-6,
          figure: `smallest final norm ${Math.min(...direct).toExponential(1)}`,
        },
        {
          claim: "gated ones vanish",
          holds: Math.max(...gated) < 1e-9 && Math.max(...gated) < Math.min(...annealed),
          figure: `largest final norm, D = 2 to 4: ${Math.max(...gated).toExponential(1)}; direct with an annealed rate, smallest: ${Math.min(...annealed).toExponential(1)}`,
        },
      ],
      tables: [],
      charts: [
        {
          title: "Groups that should go",
          caption:
            "Largest norm of the groups that the group lasso removes, one seed, against steps: the sub-gradient with a constant and an annealed rate, and gated.",
          x: { name: "step" },
          y: { name: "‖w_j‖", log: true },
          series: methods.map((method, i) => ({
            name: method,
            colour: i,
            points: of(runs, method)[0]!.result.curve.map(
              ([at, , norm]) => [at, Math.max(norm, 1e-18)] as const,
            ),
          })),
        },
      ],
    };
  },
});

const of = (runs: readonly Run<DirectSetup, DirectResult>[], method: Method) =>
  runs.filter(({ setup }) => setup.method === method);

/** Gives the weights before step i, and takes it. */
type Walk = (i: number) => ArrayLike<number>;

function directWalk(problem: Regression, seed: number, lambda: number, rate: (i: number) => number): Walk {
  let [weights] = collapse(ops, problem.set, randomStart(problem.set, 2, seed + 1000)) as [NdArray];
  return (i) => {
    const now = weights;
    const [pull] = directSubgradient(ops, problem.set, [now], lambda, 1) as [NdArray];
    const slope = problem.gradient(now.data);
    weights = ndArray(
      now.data.map((w, k) => w - rate(i) * (slope[k]! + pull.data[k]!)),
      now.shape,
    );
    return now.data;
  };
}

function gatedWalk(problem: Regression, seed: number, lambda: number, step: number, depth: number): Walk {
  let factors: Factors<NdArray> = randomStart(problem.set, depth, seed + 1000);
  return () => {
    const now = collapse(ops, problem.set, factors)[0]!.data;
    factors = descend(ops, problem.set, factors, { lambda, step, gradient: problem.gradient });
    return now;
  };
}
