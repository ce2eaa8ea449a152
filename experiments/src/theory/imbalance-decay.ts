import { imbalance } from "@dgate/core";
import { descend } from "@dgate/testing/numerics";
import { factorsOutOfBalance } from "./factors-out-of-balance.ts";
import { defineExperiment, type Run, type Setup } from "../experiment.ts";
import { plusMinus } from "../report/figures.ts";
import { ops, regression } from "./problem.ts";

interface DecaySetup extends Setup {
  readonly depth: number;
  readonly lambda: number;
  readonly step: number;
  readonly steps: number;
}

interface DecayResult {
  /** Measured exponents over 4λ/D, one for each group and gate that began well out of balance. */
  readonly ratios: readonly number[];
  /** Time and imbalance of the group that began with most. */
  readonly curve: readonly (readonly [time: number, imbalance: number])[];
}

/** Facts 3 of design.md. */
export const imbalanceDecay = defineExperiment<DecaySetup, DecayResult>({
  name: "imbalance-decay",
  family: "theory",
  title: "Imbalance decays as exp(−4λt/D)",
  claim:
    "Under gradient flow r = ‖ω_j‖² − γ² of every group and gate decays as exp(−4λt/D), whatever the loss (Kolb et al. 2025).",
  version: 1,
  seeds: 5,
  setups: ({ quick, seeds }) =>
    seeds.flatMap((seed) =>
      [2, 3, 4].map((depth) =>
        quick
          ? { seed, depth, lambda: 0.5, step: 1e-3, steps: 1000 }
          : { seed, depth, lambda: 0.5, step: 1e-4, steps: 20_000 },
      ),
    ),
  measure({ seed, depth, lambda, step, steps }) {
    const problem = regression(seed, { groups: 5, groupSize: 3, rows: 60, relevant: 2, noise: 0.1 });
    let factors = factorsOutOfBalance(problem.set, depth, seed + 1000);
    const before = imbalance(ops, problem.set, factors).map(({ data }) => [...data]);
    const flat = before.flatMap((values, d) => values.map((value, j) => ({ d, j, value })));
    const most = flat.reduce((a, b) => (Math.abs(b.value) > Math.abs(a.value) ? b : a));
    const curve: [number, number][] = [];
    for (let i = 0; i <= steps; i += 1) {
      if (i % (steps / 20) === 0)
        curve.push([i * step, Math.abs(imbalance(ops, problem.set, factors)[most.d]!.data[most.j]!)]);
      factors = descend(ops, problem.set, factors, { lambda, step, gradient: problem.gradient });
    }
    const after = imbalance(ops, problem.set, factors);
    const time = step * (steps + 1);
    // Below this the noise floor of finite steps, of order η, is no longer small beside r.
    const clear = flat.filter(({ value }) => Math.abs(value) > 0.3);
    return {
      ratios: clear.map(
        ({ d, j, value }) => Math.log(value / after[d]!.data[j]!) / time / ((4 * lambda) / depth),
      ),
      curve,
    };
  },
  conclude(runs) {
    const depths = [2, 3, 4];
    const ratios = depths.map((depth) => of(runs, depth).flatMap(({ result }) => result.ratios));
    const off = Math.max(...ratios.flat().map((ratio) => Math.abs(ratio - 1)));
    return {
      verdicts: [
        {
          claim: "the measured exponent is 4λ/D",
          holds: ratios.every(({ length }) => length > 0) && off < 0.02,
          figure: `off by at most ${(100 * off).toFixed(2)} % over ${ratios.flat().length} gates`,
        },
      ],
      tables: [
        {
          title: "Measured exponent over 4λ/D",
          header: ["", "gates", "ratio"],
          rows: depths.map((depth, i) => [
            `D = ${depth}`,
            String(ratios[i]!.length),
            plusMinus(ratios[i]!, 5),
          ]),
        },
      ],
      charts: [
        {
          title: "Imbalance of one group",
          caption: "|‖ω‖² − γ²| of the group that is most out of balance, one seed, beside the law (dashed).",
          x: { name: "t" },
          y: { name: "imbalance", log: true },
          series: depths.flatMap((depth, i) => {
            const { setup, result } = of(runs, depth)[0]!;
            const [, start] = result.curve[0]!;
            return [
              { name: `D = ${depth}`, colour: i + 1, points: result.curve },
              {
                name: "exp(−4λt/D)",
                colour: 0,
                dashed: true,
                points: result.curve.map(
                  ([time]) => [time, start * Math.exp((-4 * setup.lambda * time) / depth)] as const,
                ),
              },
            ];
          }),
        },
      ],
    };
  },
});

const of = (runs: readonly Run<DecaySetup, DecayResult>[], depth: number) =>
  runs.filter(({ setup }) => setup.depth === depth);
