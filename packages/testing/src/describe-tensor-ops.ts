import {
  balance,
  collapse,
  directSubgradient,
  type Factors,
  factorGradients,
  frozenPenalty,
  type GroupSet,
  imbalance,
  penaltyGap,
  smoothPenalty,
  smoothPenaltyGradient,
  sparsePenalty,
  squaredGroupNorms,
  type TensorOps,
} from "@dgate/core";
import { describe, test } from "vitest";
import { expect } from "./all-close.ts";
import { caseFactors, type GatingCase, gatingCases } from "./gating-cases.ts";
import { type PlainFactors, referenceGating } from "./reference-gating.ts";
import { tensorOpsCases } from "./tensor-ops-cases.ts";
import type { tolerances } from "./tolerance.ts";

/** How the suite reads the results of a binding. */
export interface ConformanceOptions<T> {
  /** Values of a tensor, row-major; may evaluate a graph. */
  readonly toNumbers: (x: T) => ArrayLike<number> | Promise<ArrayLike<number>>;
  /** The type that the binding computes in. */
  readonly tolerance: keyof typeof tolerances;
}

const lambda = 0.3;

/**
 * Registers the conformance suite of `TensorOps`: golden cases of each operation, then the gating algebra on every
 * kind of layout for D = 2, 3, 4 against plain loops in float64.
 *
 * @param makeOps called once per test
 */
export function describeTensorOps<T>(
  name: string,
  makeOps: () => TensorOps<T> | Promise<TensorOps<T>>,
  { toNumbers, tolerance }: ConformanceOptions<T>,
): void {
  describe(`${name} conforms to TensorOps`, () => {
    test.each(tensorOpsCases)("$name", async ({ run, shape, expected }) => {
      const ops = await makeOps();
      const result = run(ops);
      expect([...ops.shapeOf(result)]).toEqual([...shape]);
      expect(await toNumbers(result)).toBeAllClose(expected, tolerance);
    });

    describe.each([2, 3, 4])("gating algebra, D = %i", (depth) => {
      test.each(gatingCases)("$name", async ({ set }: GatingCase) => {
        const ops = await makeOps();
        const plain = caseFactors(set, depth);
        await checkAlgebra(ops, set, plain, async (got, want) => {
          expect(got.length).toBe(want.length);
          for (const [k, x] of got.entries()) expect(await toNumbers(x)).toBeAllClose(want[k]!, tolerance);
        });
      });
    });

    test("a zero group stays zero under balance and has no sub-gradient", async () => {
      const ops = await makeOps();
      const { set } = gatingCases[0]!;
      const primary = [ops.constant([0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8], [3, 4])];
      const gates = [ops.constant([2, 0, 1], [3]), ops.constant([1, 3, 1], [3])];
      const balanced = balance(ops, set, { primary, gates });
      const last = (5 * 5 + 6 * 6 + 7 * 7 + 8 * 8) ** (1 / 6);
      for (const gate of balanced.gates) {
        expect(await toNumbers(gate)).toBeAllClose([0, 0, last], tolerance);
      }
      const omega = [0, 0, 0, 0, 0, 0, 0, 0, ...[5, 6, 7, 8].map((w) => w / last ** 2)];
      expect(await toNumbers(balanced.primary[0]!)).toBeAllClose(omega, tolerance);
      const weights = collapse(ops, set, { primary, gates });
      const [slope] = directSubgradient(ops, set, weights, 1, 1);
      const unit = [5, 6, 7, 8].map((w) => w / last ** 3);
      expect(await toNumbers(slope!)).toBeAllClose([...omega.slice(0, 8), ...unit], tolerance);
    });
  });
}

async function checkAlgebra<T>(
  ops: TensorOps<T>,
  set: GroupSet,
  plain: PlainFactors,
  expectNumbers: (got: readonly T[], want: readonly ArrayLike<number>[]) => Promise<void>,
): Promise<void> {
  const want = referenceGating(set, plain, lambda);
  const tensorsOf = (values: readonly ArrayLike<number>[]): T[] =>
    set.members.map(({ shape }, m) => ops.constant(values[m]!, shape));
  const factors: Factors<T> = {
    primary: tensorsOf(plain.primary),
    gates: plain.gates.map((gate) => ops.constant(gate, [set.groups])),
  };
  const depth = factors.gates.length + 1;
  const weights = collapse(ops, set, factors);
  const scalarLambda = ops.scalar(lambda);
  await expectNumbers(weights, want.collapsed);
  await expectNumbers([squaredGroupNorms(ops, set, factors.primary)], [want.primarySquares]);
  await expectNumbers([smoothPenalty(ops, set, factors, lambda)], [[want.smooth]]);
  await expectNumbers([smoothPenalty(ops, set, factors, scalarLambda)], [[want.smooth]]);
  await expectNumbers([sparsePenalty(ops, set, weights, lambda, depth)], [[want.sparse]]);
  await expectNumbers([penaltyGap(ops, set, factors, lambda)], [[want.gap]]);
  await expectNumbers(imbalance(ops, set, factors), want.imbalance);
  await expectNumbers([frozenPenalty(ops, factors.gates, lambda, set.weights)], [[want.frozen]]);
  const slope = smoothPenaltyGradient(ops, set, factors, scalarLambda);
  await expectNumbers(slope.primary, want.smoothGradient.primary);
  await expectNumbers(slope.gates, want.smoothGradient.gates);
  await expectNumbers(collapse(ops, set, balance(ops, set, factors)), want.collapsed);
  // With g = ω the chain rule reads π·ω = w and π₋d·‖ω‖².
  const chained = factorGradients(ops, set, factors, factors.primary);
  await expectNumbers(chained.primary, want.collapsed);
  await expectNumbers(chained.gates, alignedGates(plain, want.primarySquares));
}

function alignedGates({ gates }: PlainFactors, primarySquares: readonly number[]): number[][] {
  return gates.map((_, d) =>
    primarySquares.map((square, j) =>
      gates.reduce((product, gate, e) => (e === d ? product : product * gate[j]!), square),
    ),
  );
}
