import { collapse, type NdArray, penaltyGap, sparsePenalty } from "@dgate/core";
import { descend } from "@dgate/testing/numerics";
import { defineExperiment, type Run, type Setup } from "../experiment.ts";
import { mean, plusMinus } from "../report/figures.ts";
import { activeGroups, normsOf, ops, regression, safeStep } from "./problem.ts";
import { factorsOutOfBalance } from "./factors-out-of-balance.ts";

interface PhaseSetup extends Setup {
  readonly depth: number;
  readonly steps: number;
  /** λ as a part of the least one at which no group is left for D = 2. */
  readonly part: number;
}

interface Moment {
  readonly time: number;
  readonly loss: number;
  /** The sparse penalty. */
  readonly penalty: number;
  /** Smooth minus sparse penalty. */
  readonly gap: number;
  readonly active: number;
}

interface PhaseResult {
  readonly groups: number;
  readonly moments: readonly Moment[];
}

/** A group is gone when its norm is under this part of the largest. */
const gone = 1e-3;

export const twoPhases = defineExperiment<PhaseSetup, PhaseResult>({
  name: "two-phases",
  family: "theory",
  title: "Two phases: the gap closes, then groups die",
  claim:
    "Training passes from a phase in which the imbalance decays and nothing is sparse into one in which smooth and sparse objective are close and groups die " +
    "(dynamics of Kolb et al. 2025).",
  version: 1,
  seeds: 5,
  setups: ({ quick, seeds }) =>
    seeds.flatMap((seed) =>
      [2, 3, 4].map((depth) => ({ seed, depth, steps: quick ? 4000 : 20_000, part: 0.15 })),
    ),
  measure({ seed, depth, steps, part }) {
    const size = { groups: 20, groupSize: 3, rows: 120, relevant: 5, noise: 0.5 };
    const problem = regression(seed, size);
    const lambda = part * problem.lambdaMax;
    const step = safeStep(problem, 60) / 8;
    let factors = factorsOutOfBalance(problem.set, depth, seed + 1000);
    const moments: Moment[] = [];
    // Denser at first, as the changes are.
    let next = 0;
    for (let i = 0; i <= steps; i += 1) {
      if (i >= next) {
        const [weights] = collapse(ops, problem.set, factors) as [NdArray];
        moments.push({
          time: i * step,
          loss: problem.loss(weights.data),
          penalty: sparsePenalty(ops, problem.set, [weights], lambda, depth).data[0]!,
          gap: penaltyGap(ops, problem.set, factors, lambda).data[0]!,
          active: activeGroups(normsOf(problem.set, weights.data), gone).length,
        });
        next = Math.max(i + 1, Math.ceil(1.06 * i));
      }
      factors = descend(ops, problem.set, factors, { lambda, step, gradient: problem.gradient });
    }
    return { groups: size.groups, moments };
  },
  conclude(runs) {
    const depths = [2, 3, 4];
    const alive = runs.map(({ result }) => aliveAtHalf(result));
    const inOrder = runs.filter(({ result }) => {
      const { balanced, sparse } = turningPoints(result);
      return balanced < sparse;
    });
    const ended = Math.max(...runs.map(({ result }) => partOf(result.moments.at(-1)!)));
    return {
      verdicts: [
        {
          claim: "when half of the gap has closed, nearly all groups are still there",
          holds: Math.min(...alive) >= 0.85,
          figure: `${(100 * Math.min(...alive)).toFixed(0)} % of them at least, ${(100 * mean(alive)).toFixed(0)} % in the mean of ${runs.length} runs`,
        },
        {
          claim: "nine tenths of the gap have closed before half of the groups that die are gone",
          holds: inOrder.length === runs.length,
          figure: `in ${inOrder.length} of ${runs.length} runs`,
        },
        {
          claim: "in the end smooth and sparse objective are one",
          holds: ended < 1e-3,
          figure: `largest gap at the end ${ended.toExponential(1)} of the penalty`,
        },
      ],
      tables: [
        {
          title: "When the gap has closed by nine tenths, and when half of the groups that die are gone",
          header: ["", "gap closed, t", "groups gone, t", "groups left"],
          rows: depths.map((depth) => {
            const own = of(runs, depth);
            const points = own.map(({ result }) => turningPoints(result));
            return [
              `D = ${depth}`,
              plusMinus(
                points.map(({ balanced }) => balanced),
                2,
              ),
              plusMinus(
                points.map(({ sparse }) => sparse),
                2,
              ),
              mean(own.map(({ result }) => result.moments.at(-1)!.active)).toFixed(1),
            ];
          }),
        },
      ],
      charts: [
        {
          title: "Groups that are left",
          caption: `Groups above ${gone} of the largest, one seed, against the time of gradient flow.`,
          x: { name: "t", log: true },
          y: { name: "groups" },
          series: depths.map((depth, i) => ({
            name: `D = ${depth}`,
            colour: i + 1,
            points: of(runs, depth)[0]!.result.moments.map(({ time, active }) => [time, active] as const),
          })),
        },
        {
          title: "The gap",
          caption:
            "Smooth minus sparse penalty, as part of the sparse one, one seed, down to the rounding of float64.",
          x: { name: "t", log: true },
          y: { name: "gap / penalty", log: true },
          series: depths.map((depth, i) => ({
            name: `D = ${depth}`,
            colour: i + 1,
            points: of(runs, depth)[0]!
              .result.moments.map((moment) => [moment.time, partOf(moment)] as const)
              .filter(([, part]) => part > 1e-14),
          })),
        },
      ],
    };
  },
});

const of = (runs: readonly Run<PhaseSetup, PhaseResult>[], depth: number) =>
  runs.filter(({ setup }) => setup.depth === depth);

const partOf = ({ gap, penalty }: Moment): number => gap / penalty;

/** Part of the groups that are left when half of the first gap is. */
function aliveAtHalf({ groups, moments }: PhaseResult): number {
  const half = moments.find(({ gap }) => gap <= moments[0]!.gap / 2);
  return half ? half.active / groups : 0;
}

/** Times at which a tenth of the first gap is left, and half of the groups that die have. */
function turningPoints({ groups, moments }: PhaseResult): {
  readonly balanced: number;
  readonly sparse: number;
} {
  const [first, last] = [moments[0]!, moments.at(-1)!];
  const balanced = moments.find(({ gap }) => gap <= first.gap / 10);
  const sparse = moments.find(({ active }) => active <= (groups + last.active) / 2);
  return { balanced: balanced?.time ?? Infinity, sparse: sparse?.time ?? Infinity };
}
