import { expect, test } from "vitest";
import type { Task } from "../data/task.ts";
import { timeInterleaved } from "./latency.ts";
import { score } from "./score.ts";

const examples = { count: 4, x: new Float32Array(0), y: Float32Array.of(0, 1, 2, 1) };
const task: Task = {
  name: "t",
  kind: "classification",
  inputShape: [1],
  outputs: 3,
  train: examples,
  test: examples,
};

test("accuracy is the share of rows whose largest logit is the label's", () => {
  const logits = [5, 1, 0, 0, 2, 1, -3, -2, -1, 4, 3, 0];
  expect(score(task, examples, logits)).toBe(0.75);
});

test("R² is 1 for exact values, 0 for the mean, negative for worse", () => {
  const regression: Task = { ...task, kind: "regression", outputs: 1 };
  expect(score(regression, examples, [0, 1, 2, 1])).toBe(1);
  expect(score(regression, examples, [1, 1, 1, 1])).toBe(0);
  expect(score(regression, examples, [2, 1, 0, 1])).toBe(-3);
});

test("models take turns, and each is run the same number of times", async () => {
  const order: string[] = [];
  const model = (name: string, ms: number) => ({
    runner: {
      runtime: "web" as const,
      inputs: [],
      optionalInputs: [],
      outputs: [],
      run: async () => {
        order.push(name);
        await new Promise((resolve) => setTimeout(resolve, ms));
        return {};
      },
      dispose: async () => undefined,
    },
    feeds: {},
  });
  const [slow, fast] = await timeInterleaved([model("slow", 12), model("fast", 1)], { rounds: 8 });
  expect(order).toEqual(Array.from({ length: 2 * 13 }, (_, i) => (i % 2 === 0 ? "slow" : "fast")));
  expect(slow!.medianMs).toBeGreaterThan(fast!.medianMs);
  expect(slow!.p95Ms).toBeGreaterThanOrEqual(slow!.medianMs);
});
