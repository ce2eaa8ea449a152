import {
  arrayOps,
  balancedFactors,
  collapse,
  defineGroups,
  type Factors,
  findDeadGroups,
  type NdArray,
  ndArray,
  randomGenerator,
  squaredGroupNorms,
  targetSparsityController,
} from "@dgate/core";
import { expect, test } from "vitest";
import { descend, regressionProblem } from "@dgate/testing/numerics";

const ops = arrayOps("float64");
const layout = { kind: "blocks", axis: 0, blockSize: 2 } as const;
const set = defineGroups([{ name: "w", shape: [80], layout }]);

function activeFraction(factors: Factors<NdArray>): number {
  const norms = squaredGroupNorms(ops, set, collapse(ops, set, factors)).data.map(Math.sqrt);
  return findDeadGroups(norms).kept.length / set.groups;
}

test.each([
  { depth: 2, target: 0.25, lambda: 1e-4 },
  { depth: 2, target: 0.5, lambda: 1e-2 },
  { depth: 3, target: 0.25, lambda: 1e-2 },
  { depth: 3, target: 0.5, lambda: 1e-4 },
  { depth: 4, target: 0.25, lambda: 1e-4 },
])("gated training ends within two groups of the target %j", ({ depth, target, lambda }) => {
  const problem = regressionProblem({
    seed: 2,
    groups: 40,
    groupSize: 2,
    rows: 300,
    relevant: 30,
    noise: 0.5,
  });
  const random = randomGenerator(9);
  const start = ndArray(
    Float64Array.from({ length: 80 }, () => 0.5 * random.normal()),
    [80],
  );
  let factors = balancedFactors(ops, set, [start], depth);
  const controller = targetSparsityController({ target, lambda, maximum: 100 });
  for (let epoch = 0; epoch < 60; epoch += 1) {
    const options = { lambda: controller.lambda, step: 0.05, gradient: problem.gradient };
    for (let i = 0; i < 30; i += 1) factors = descend(ops, set, factors, options);
    controller.update(activeFraction(factors));
  }
  expect(Math.abs(activeFraction(factors) - target)).toBeLessThanOrEqual(2 / 40 + 1e-12);
});

test("a restored controller goes on as if nothing had happened", () => {
  const controller = targetSparsityController({ target: 0.3 });
  for (const fraction of [1, 0.9, 0.8]) controller.update(fraction);
  const copy = targetSparsityController({ target: 0.3 });
  copy.restore(JSON.parse(JSON.stringify(controller.state())));
  expect(copy.lambda).toBe(controller.lambda);
  for (const fraction of [0.6, 0.4, 0.3]) expect(copy.update(fraction)).toBe(controller.update(fraction));
});

test("λ stays within its bounds and does not move at the target", () => {
  const controller = targetSparsityController({ target: 0.5, lambda: 1e-3, minimum: 5e-4, maximum: 2e-3 });
  expect(controller.update(0.5)).toBe(1e-3);
  for (let i = 0; i < 20; i += 1) controller.update(1);
  expect(controller.lambda).toBe(2e-3);
  for (let i = 0; i < 20; i += 1) controller.update(0);
  expect(controller.lambda).toBe(5e-4);
});

test.each([
  [{ target: 0 }, /target is 0/],
  [{ target: 1 }, /target is 1/],
  [{ target: Number.NaN }, /target is NaN/],
  [{ target: 0.5, lambda: 2 }, /lambda is 2, expected a finite number from 1e-8 to 1/],
  [{ target: 0.5, gain: -1 }, /gain is -1/],
  [{ target: 0.5, minimum: 0 }, /minimum is 0/],
  [{ target: 0.5, minimum: 1, maximum: 0.1 }, /maximum is 0.1/],
])("refuses %j", (options, message) => {
  expect(() => targetSparsityController(options)).toThrow(message);
});

test("refuses a fraction outside [0, 1] and a broken state", () => {
  const controller = targetSparsityController({ target: 0.5 });
  expect(() => controller.update(Number.NaN)).toThrow("activeFraction is NaN");
  expect(() => controller.update(40)).toThrow("activeFraction is 40");
  expect(() => controller.restore({ lambda: 0, last: null })).toThrow("state.lambda is 0");
});
