import { solveGroupLasso } from "@dgate/testing/numerics";
import { defineExperiment, type Setup } from "../experiment.ts";
import { descendToRest, normsOf, randomStart, regression, safeStep } from "./problem.ts";

interface PathSetup extends Setup {
  readonly groups: number;
  readonly groupSize: number;
  readonly rows: number;
  readonly relevant: number;
  readonly steps: number;
  /** λ as parts of the least one at which no group is left. */
  readonly parts: readonly number[];
}

interface PathPoint {
  readonly lambda: number;
  /** Largest difference of a weight from the solver's. */
  readonly difference: number;
  readonly support: number;
  readonly sameSupport: boolean;
  /** ‖w_j‖ of every group, by gradient descent. */
  readonly norms: readonly number[];
}

/** Fact 5 of design.md, along the whole path. */
export const groupLassoPath = defineExperiment<
  PathSetup,
  { readonly path: readonly PathPoint[]; readonly relevant: number }
>({
  name: "group-lasso-path",
  family: "theory",
  title: "D = 2 is the group lasso",
  claim:
    "Gradient descent on the smooth objective with D = 2 ends, for every λ, at the solution of the group lasso (Kolb et al. 2025): same weights, same " +
    "groups. Reference: block coordinate descent with exact steps, which knows nothing of gates.",
  version: 1,
  seeds: 5,
  setups: ({ quick, seeds }) =>
    seeds.map((seed) =>
      quick
        ? { seed, groups: 8, groupSize: 3, rows: 80, relevant: 3, steps: 20_000, parts: [0.9, 0.3, 0.1] }
        : {
            seed,
            groups: 30,
            groupSize: 4,
            rows: 300,
            relevant: 8,
            steps: 100_000,
            parts: Array.from({ length: 15 }, (_, i) => 0.95 * 0.75 ** i),
          },
    ),
  measure({ seed, parts, steps, ...size }) {
    const problem = regression(seed, { ...size, noise: 0.5 });
    const step = safeStep(problem, size.groups * size.groupSize) / 2;
    const path = parts.map((part): PathPoint => {
      const lambda = part * problem.lambdaMax;
      const want = solveGroupLasso({ ...problem, lambda });
      const got = descendToRest(problem, randomStart(problem.set, 2, seed + 1000), {
        lambda,
        step,
        most: steps,
      });
      const norms = normsOf(problem.set, got.data);
      const support = norms.flatMap((norm, j) => (norm > 1e-6 ? [j] : []));
      return {
        lambda,
        difference: Math.max(...Array.from(got.data, (value, i) => Math.abs(value - want.weights[i]!))),
        support: want.support.length,
        sameSupport: support.join() === want.support.join(),
        norms,
      };
    });
    return { path, relevant: size.relevant };
  },
  conclude(runs) {
    const points = runs.flatMap(({ result }) => result.path);
    const largest = Math.max(...points.map(({ difference }) => difference));
    const same = points.filter(({ sameSupport }) => sameSupport).length;
    const [first] = runs;
    const groups = first!.result.path[0]!.norms.length;
    return {
      verdicts: [
        {
          claim: "the weights are those of the group lasso",
          holds: largest < 1e-5,
          figure: `largest |Δw| ${largest.toExponential(1)} over ${points.length} values of λ`,
        },
        {
          claim: "the same groups are left",
          holds: same === points.length,
          figure: `${same} of ${points.length} supports equal`,
        },
      ],
      tables: [],
      charts: [
        {
          title: "Group-lasso path by gradient descent",
          caption: `‖w_j‖ of ${groups} groups against λ, one seed. Orange: the ${first!.result.relevant} groups that the data depend on.`,
          x: { name: "λ", log: true },
          y: { name: "‖w_j‖" },
          series: Array.from({ length: groups }, (_, j) => ({
            name: j < first!.result.relevant ? "matters" : "does not",
            colour: j < first!.result.relevant ? 1 : 0,
            points: first!.result.path.map(({ lambda, norms }) => [lambda, norms[j]!] as const),
          })),
        },
      ],
    };
  },
});
