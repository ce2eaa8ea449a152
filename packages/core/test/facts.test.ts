import {
  arrayOps,
  balance,
  balancedFactors,
  collapse,
  defineGroups,
  directSubgradient,
  type Factors,
  factorGradients,
  frozenPenalty,
  gateProduct,
  type GroupSet,
  imbalance,
  type NdArray,
  ndArray,
  penaltyGap,
  randomGenerator,
  smoothPenalty,
  smoothPenaltyGradient,
  sparsePenalty,
  squaredGroupNorms,
} from "@dgate/core";
import { fc, factorArrays, gatedSets } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { figure } from "./figure.ts";
import { descend, regressionProblem, sgdStep, solveGroupLasso } from "@dgate/testing/numerics";

// The facts 1 to 7 of D-Gating that the project rests on (Kolb et al. 2025), on the float64 reference.
const ops = arrayOps("float64");

function scalar(x: NdArray): number {
  expect(x.shape).toEqual([]);
  return x.data[0]!;
}

/** One group per run of `size` columns of a weight vector. */
function columnsInGroups(groups: number, size: number, weights?: readonly number[]): GroupSet {
  const layout = { kind: "blocks", axis: 0, blockSize: size } as const;
  return defineGroups([{ name: "w", shape: [groups * size], layout }], weights ? { weights } : {});
}

describe("fact 1: the gap", () => {
  test("the smooth penalty is never below the sparse penalty", () => {
    fc.assert(
      fc.property(gatedSets(), ({ set, factors, depth, lambda }) => {
        const smooth = scalar(smoothPenalty(ops, set, factors, lambda));
        const sparse = scalar(sparsePenalty(ops, set, collapse(ops, set, factors), lambda, depth));
        expect(smooth - sparse).toBeGreaterThanOrEqual(-1e-12 * smooth);
        const gap = scalar(penaltyGap(ops, set, factors, lambda));
        expect(Math.abs(smooth - sparse - gap)).toBeLessThanOrEqual(1e-12 * smooth);
      }),
    );
  });

  test("they are equal at balance, and only there", () => {
    fc.assert(
      fc.property(
        gatedSets(),
        fc.double({ min: 0.05, max: 1, noNaN: true }),
        ({ set, factors, lambda }, off) => {
          const balanced = balance(ops, set, factors);
          const smooth = scalar(smoothPenalty(ops, set, balanced, lambda));
          expect(Math.abs(scalar(penaltyGap(ops, set, balanced, lambda)))).toBeLessThanOrEqual(
            1e-12 * smooth,
          );
          const [first, ...gates] = balanced.gates;
          const unbalanced = {
            primary: balanced.primary.map((x) => ops.scale(x, 1 / (1 + off))),
            gates: [ops.scale(first!, 1 + off), ...gates],
          };
          expect(scalar(penaltyGap(ops, set, unbalanced, lambda))).toBeGreaterThan(1e-4 * off * off * smooth);
        },
      ),
    );
  });

  test.each([2, 3, 4])(
    "a minimum of the smooth objective is one of the sparse objective, D = %i",
    (depth) => {
      const problem = regressionProblem({
        seed: 5,
        groups: 8,
        groupSize: 3,
        rows: 80,
        relevant: 3,
        noise: 0.3,
      });
      const set = columnsInGroups(8, 3);
      const lambda = 0.15;
      let factors = balancedFactors(ops, set, factorArrays(set, 2, 7).primary, depth);
      const options = { lambda, step: 0.05, gradient: problem.gradient };
      for (let i = 0; i < 8000; i += 1) factors = descend(ops, set, factors, options);
      expect(scalar(penaltyGap(ops, set, factors, lambda))).toBeLessThan(1e-12);
      const [weights] = collapse(ops, set, factors) as [NdArray];
      const norms = squaredGroupNorms(ops, set, [weights]).data.map(Math.sqrt);
      const active = [...norms.keys()].filter((j) => norms[j]! > 1e-6);
      expect(active.length).toBeGreaterThan(0);
      expect(active.length).toBeLessThan(8);
      // Stationary: on active groups the loss and the sparse penalty pull with equal force.
      const [pull] = directSubgradient(ops, set, [weights], lambda, 2 / depth) as [NdArray];
      const slope = problem.gradient(weights.data);
      for (const column of active.flatMap((j) => problem.groups[j]!)) {
        expect(Math.abs(slope[column]! + pull.data[column]!)).toBeLessThan(1e-9);
      }
      // A minimum, not only stationary: no nearby weights are better.
      const objective = (w: NdArray): number =>
        problem.loss(w.data) + scalar(sparsePenalty(ops, set, [w], lambda, depth));
      const random = randomGenerator(2);
      const here = objective(weights);
      for (let i = 0; i < 200; i += 1) {
        const near = ndArray(
          Float64Array.from(weights.data, (w) => w + 1e-3 * random.normal()),
          weights.shape,
        );
        expect(objective(near)).toBeGreaterThan(here);
      }
      // And back: its balanced factors are stationary for the smooth objective.
      const balanced = balancedFactors(ops, set, [weights], depth);
      const data = factorGradients(ops, set, balanced, [ndArray(slope, weights.shape)]);
      const penalty = smoothPenaltyGradient(ops, set, balanced, lambda);
      for (const [k, x] of [...data.primary, ...data.gates].entries()) {
        const total = ops.add(x, [...penalty.primary, ...penalty.gates][k]!);
        for (const [i, value] of total.data.entries()) {
          const group = total.data.length === 8 ? i : Math.floor(i / 3);
          expect(active.includes(group) ? Math.abs(value) : 0).toBeLessThan(1e-8);
        }
      }
    },
  );
});

describe("fact 2: balancing", () => {
  test("balancing leaves the weights unchanged and makes all factors of a group equally large", () => {
    fc.assert(
      fc.property(gatedSets(), ({ set, factors, depth }) => {
        const weights = collapse(ops, set, factors);
        const balanced = balance(ops, set, factors);
        for (const [m, w] of collapse(ops, set, balanced).entries()) expect(w).toBeAllClose(weights[m]!);
        const size = squaredGroupNorms(ops, set, weights).data.map((square) => square ** (0.5 / depth));
        const omega = squaredGroupNorms(ops, set, balanced.primary).data.map(Math.sqrt);
        for (const x of [omega, ...balanced.gates.map((gate) => gate.data)]) expect(x).toBeAllClose(size);
        for (const r of imbalance(ops, set, balanced)) expect(r).toBeAllClose(r.data.map(() => 0));
      }),
    );
  });

  test("a zero group gets zero factors, in both float types", () => {
    const set = columnsInGroups(2, 2);
    for (const dtype of ["float64", "float32"] as const) {
      const bound = arrayOps(dtype);
      const zero = { primary: [bound.constant([0, 0, 3, 4], [4])], gates: [bound.constant([0, 1], [2])] };
      const { primary, gates } = balance(bound, set, zero);
      const root = Math.sqrt(5);
      expect(primary[0]!).toBeAllClose([0, 0, 3 / root, 4 / root], dtype);
      expect(gates[0]!).toBeAllClose([0, root], dtype);
    }
  });
});

test("a dying group whose square underflows gets factors no larger than its own, D = 2, 3, 4", () => {
  const set = columnsInGroups(2, 2);
  const single = arrayOps("float32");
  for (const depth of [2, 3, 4]) {
    const { primary, gates } = balancedFactors(single, set, [single.constant([1e-24, 0, 3, 4], [4])], depth);
    const root = 5 ** (1 / depth);
    expect(primary[0]!).toBeAllClose([0, 0, (3 * root) / 5, (4 * root) / 5], "float32");
    for (const gate of gates) expect(gate).toBeAllClose([0, root], "float32");
  }
});

describe("fact 3: imbalance decays as exp(−4λt/D)", () => {
  test.each([2, 3, 4])("the measured exponent is within one percent of 4λ/D, D = %i", (depth) => {
    const problem = regressionProblem({
      seed: 3,
      groups: 5,
      groupSize: 3,
      rows: 60,
      relevant: 2,
      noise: 0.1,
    });
    const set = columnsInGroups(5, 3);
    const [lambda, step, steps] = [0.5, 1e-4, 10_000];
    let factors = factorArrays(set, depth, 11);
    const before = imbalance(ops, set, factors);
    for (let i = 0; i < steps; i += 1) {
      factors = descend(ops, set, factors, { lambda, step, gradient: problem.gradient });
    }
    const after = imbalance(ops, set, factors);
    const time = step * steps;
    const deviations: number[] = [];
    for (const [d, start] of before.entries()) {
      for (const [j, r] of start.data.entries()) {
        // Below this the noise floor of finite steps, of order η, is no longer small beside r.
        if (Math.abs(r) < 0.2) continue;
        const exponent = Math.log(r / after[d]!.data[j]!) / time;
        deviations.push(Math.abs(exponent / ((4 * lambda) / depth) - 1));
      }
    }
    figure(`fact 3, D = ${depth}, largest relative deviation of the exponent`, Math.max(...deviations));
    expect(deviations.length).toBeGreaterThan(2);
    expect(Math.max(...deviations)).toBeLessThan(0.01);
  });
});

describe("fact 4: one SGD step changes the imbalance exactly", () => {
  test("r' = c²·r + η²·( π²‖g‖² − π₋d²⟨ω, g⟩² )", () => {
    const steps = fc.double({ min: 1e-4, max: 0.5, noNaN: true });
    let largest = 0;
    fc.assert(
      fc.property(gatedSets(), steps, fc.nat(), ({ set, factors, depth, lambda }, step, seed) => {
        // Gradients of a loss that also depends on ungated elements, with some exact zeros.
        const gradients = factorArrays(set, 2, seed).primary;
        const next = sgdStep(ops, set, factors, gradients, { lambda, step });
        const before = imbalance(ops, set, factors);
        const square = squaredGroupNorms(ops, set, gradients).data;
        const aligned = innerProducts(set, factors.primary, gradients);
        const sizes = [squaredGroupNorms(ops, set, next.primary), ...next.gates.map((x) => ops.square(x))];
        const product = gateProduct(ops, factors.gates).data;
        for (const [d, r] of imbalance(ops, set, next).entries()) {
          for (const [j, got] of r.data.entries()) {
            const others = factors.gates.reduce((pi, gate, e) => (e === d ? pi : pi * gate.data[j]!), 1);
            const c = 1 - (2 * step * lambda * set.weights[j]!) / depth;
            const noise = product[j]! ** 2 * square[j]! - others ** 2 * aligned[j]! ** 2;
            const want = c * c * before[d]!.data[j]! + step * step * noise;
            const scale = sizes.reduce((sum, x) => sum + x.data[j]!, 1);
            largest = Math.max(largest, Math.abs(got - want) / scale);
            expect(Math.abs(got - want)).toBeLessThanOrEqual(1e-12 * scale);
          }
        }
      }),
      { numRuns: 500 },
    );
    figure("fact 4, 500 random cases, largest deviation relative to the squared factors", largest);
  });
});

/** ⟨a_j, b_j⟩ by polarisation: ‖a + b‖² − ‖a − b‖² over 4. */
function innerProducts(set: GroupSet, a: readonly NdArray[], b: readonly NdArray[]): readonly number[] {
  const norms = (sign: number): NdArray =>
    squaredGroupNorms(
      ops,
      set,
      a.map((x, m) => ops.add(x, ops.scale(b[m]!, sign))),
    );
  return [...ops.scale(ops.sub(norms(1), norms(-1)), 0.25).data];
}

describe("fact 5: D = 2 is the group lasso", () => {
  test.each([
    ["no weights", undefined],
    ["weights (fact 7)", Array.from({ length: 40 }, (_, j) => 0.7 + (j % 4) * 0.2)],
  ])(
    "40 groups of 5, 400 rows, %s: gradient descent finds the solver's weights and support",
    (name, weights) => {
      const problem = regressionProblem({
        seed: 1,
        groups: 40,
        groupSize: 5,
        rows: 400,
        relevant: 12,
        noise: 0.5,
      });
      const set = columnsInGroups(40, 5, weights);
      const lambda = 0.3;
      const want = solveGroupLasso({ ...problem, lambda, ...(weights && { weights }) });
      expect(want.support.length).toBeGreaterThan(5);
      expect(want.support.length).toBeLessThan(35);
      const random = randomGenerator(9);
      const start = ndArray(
        Float64Array.from({ length: 200 }, () => 0.5 * random.normal()),
        [200],
      );
      let factors: Factors<NdArray> = balancedFactors(ops, set, [start], 2);
      const options = { lambda, step: 0.1, gradient: problem.gradient };
      for (let i = 0; i < 6000; i += 1) factors = descend(ops, set, factors, options);
      const [got] = collapse(ops, set, factors) as [NdArray];
      const differences = Array.from(got.data, (w, i) => Math.abs(w - want.weights[i]!));
      figure(
        `fact 5, ${name}, ${want.support.length} of 40 groups stay, largest |Δw|`,
        Math.max(...differences),
      );
      expect(got).toBeAllClose(want.weights, { absolute: 1e-8, relative: 0 });
      const norms = squaredGroupNorms(ops, set, [got]).data.map(Math.sqrt);
      expect([...norms.keys()].filter((j) => norms[j]! > 1e-8)).toEqual(want.support);
    },
  );
});

describe("fact 6: frozen primary weights", () => {
  const gates = fc.integer({ min: 1, max: 5 }).chain((count) =>
    fc.array(fc.array(fc.double({ min: -3, max: 3, noNaN: true }), { minLength: 4, maxLength: 4 }), {
      minLength: count,
      maxLength: count,
    }),
  );

  test("(λ/K) Σ γ² is never below λ|Πγ|^{2/K}, and equals it when the gates are equally large", () => {
    fc.assert(
      fc.property(gates, fc.infiniteStream(fc.boolean()), (values, signs) => {
        const tensors = values.map((gate) => ops.constant(gate, [4]));
        const weights = [1, 2, 0.5, 3];
        const count = values.length;
        const effective = [...gateProduct(ops, tensors).data].map((pi) => Math.abs(pi) ** (2 / count));
        const sparse = 0.7 * effective.reduce((sum, pi, j) => sum + weights[j]! * pi, 0);
        expect(scalar(frozenPenalty(ops, tensors, 0.7, weights))).toBeGreaterThanOrEqual(
          sparse * (1 - 1e-12),
        );
        const equal = tensors.map(() =>
          ops.constant(
            effective.map((pi) => Math.sqrt(pi) * (signs.next().value ? 1 : -1)),
            [4],
          ),
        );
        expect([scalar(frozenPenalty(ops, equal, 0.7, weights))]).toBeAllClose([sparse]);
      }),
    );
  });
});

describe("fact 7: weights scale λ per group", () => {
  test("a weight of s is λ·s for that group, in the penalties and in the gap", () => {
    fc.assert(
      fc.property(gatedSets(), fc.nat(), ({ set, factors, depth, lambda }, seed) => {
        const random = randomGenerator(seed);
        const weights = set.sizes.map(() => 3 * random.next());
        const only = (j: number): GroupSet =>
          defineGroups(set.members, { weights: set.sizes.map((_, k) => +(j === k)) });
        const all = defineGroups(set.members, { weights });
        const collapsed = collapse(ops, set, factors);
        const measures = [
          (s: GroupSet, l: number) => scalar(smoothPenalty(ops, s, factors, l)),
          (s: GroupSet, l: number) => scalar(sparsePenalty(ops, s, collapsed, l, depth)),
          (s: GroupSet, l: number) => scalar(penaltyGap(ops, s, factors, l)),
        ];
        for (const measure of measures) {
          const parts = weights.reduce((sum, weight, j) => sum + measure(only(j), lambda * weight), 0);
          expect([measure(all, lambda)]).toBeAllClose([parts]);
        }
      }),
      { numRuns: 40 },
    );
  });
});
