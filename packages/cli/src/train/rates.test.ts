import { expect, test } from "vitest";
import { flowTimes, rateSchedule } from "./rates.ts";

const recipe = { lr: 0.1, warmup: 1, epochs: 10 };

test("the rate rises over the warm-up, is held until 70 %, and ends at 0", () => {
  const rate = rateSchedule(recipe);
  expect(rate(0.05)).toBeCloseTo(0.05, 12);
  expect([rate(0.1), rate(0.4), rate(0.7)]).toEqual([0.1, 0.1, 0.1]);
  expect(rate(0.85)).toBeCloseTo(0.05, 12);
  expect(rate(1)).toBeCloseTo(0, 12);
  expect(rateSchedule({ ...recipe, epochs: 1, warmup: 5 })(0.7)).toBe(0.1);
});

test("flow time is the sum of the rates over 1 − momentum", () => {
  const sgd = flowTimes({ ...recipe, optimizer: "sgd", momentum: 0.9 }, 100);
  expect(sgd[0]).toBe(0);
  expect(sgd[1]).toBeCloseTo(49.5, 6);
  expect(sgd[7]! - sgd[1]!).toBeCloseTo(600, 6);
  expect(sgd[10]! - sgd[7]!).toBeCloseTo(150.5, 6);
  const adam = flowTimes({ ...recipe, optimizer: "adam", momentum: 0.9 }, 100);
  expect(adam[7]! - adam[1]!).toBeCloseTo(60, 6);
});
