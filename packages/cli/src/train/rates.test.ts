import { expect, test } from "vitest";
import { flowPositions, rateSchedule } from "./rates.ts";

const recipe = { lr: 0.1, warmup: 1, epochs: 10 };

test("the rate rises over the warm-up, is held until 70 %, and ends at 0", () => {
  const rate = rateSchedule(recipe);
  expect(rate(0.05)).toBeCloseTo(0.05, 12);
  expect([rate(0.1), rate(0.4), rate(0.7)]).toEqual([0.1, 0.1, 0.1]);
  expect(rate(0.85)).toBeCloseTo(0.05, 12);
  expect(rate(1)).toBeCloseTo(0, 12);
  expect(rateSchedule({ ...recipe, epochs: 1, warmup: 5 })(0.7)).toBe(0.1);
});

const constant = { ...recipe, lambda: 2e-3, lambdaSchedule: "constant" } as const;

const timesWith = (optimizer: "sgd" | "adam"): number[] =>
  flowPositions({ ...constant, optimizer, momentum: 0.9 }, 100).map(({ time }) => time);

test("flow time is the sum of the rates over 1 − momentum", () => {
  const sgd = timesWith("sgd");
  expect(sgd[0]).toBe(0);
  expect(sgd[1]).toBeCloseTo(49.5, 6);
  expect(sgd[7]! - sgd[1]!).toBeCloseTo(600, 6);
  expect(sgd[10]! - sgd[7]!).toBeCloseTo(150.5, 6);
  const adam = timesWith("adam");
  expect(adam[7]! - adam[1]!).toBeCloseTo(60, 6);
});

test("the integral of λ is λt where λ is constant, and less by what the ramps leave out", () => {
  const flow = { ...constant, warmup: 0, optimizer: "sgd", momentum: 0.9 } as const;
  for (const { time, lambdaTime } of flowPositions(flow, 100)) expect(lambdaTime).toBeCloseTo(2e-3 * time, 9);
  const ramps = flowPositions({ ...flow, lambdaSchedule: "up-and-down" }, 100);
  // Over the first 30 % λ is half of its value in the mean.
  expect(ramps[3]!.lambdaTime).toBeCloseTo(1e-3 * ramps[3]!.time, 1);
  expect(ramps[7]!.lambdaTime - ramps[3]!.lambdaTime).toBeCloseTo(
    2e-3 * (ramps[7]!.time - ramps[3]!.time),
    9,
  );
  expect(ramps[10]!.lambdaTime).toBeLessThan(flowPositions(flow, 100)[10]!.lambdaTime);
});
