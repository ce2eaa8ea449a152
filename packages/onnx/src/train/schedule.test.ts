import { linearWarmup } from "@dgate/core";
import { findSites } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { classBatches, mlp } from "../../test/train/nets.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { crossEntropy } from "./loss.ts";
import { sgd } from "./optimizer.ts";
import { type Schedule, warmupCosine } from "./schedule.ts";
import { openTrainer } from "./trainer.ts";
import type { TrainerOptions, TrainingProgress } from "./trainer-options.ts";

async function open(options: Partial<TrainerOptions>) {
  const graph = mlp();
  return openTrainer(graph, {
    sites: findSites(graph),
    loss: crossEntropy(),
    optimizer: sgd(),
    learningRate: 0.1,
    train: "all",
    ...options,
  });
}

describe("a schedule", () => {
  test("is asked for the part of training that is done, step by step", async () => {
    const asked: number[] = [];
    const rate = (progress: number): number => {
      asked.push(progress);
      return 0.01 * (1 - progress);
    };
    const lambda: Schedule = linearWarmup(1e-2, { warmup: 0.5 });
    const trainer = await open({ learningRate: rate, gateRate: 0.5, lambda });
    const told: TrainingProgress[] = [];
    await trainer.fit(classBatches(5), { steps: 5, onProgress: (progress) => told.push(progress) });
    await trainer.dispose();
    expect(asked).toEqual([0, 0.2, 0.4, 0.6, 0.8]);
    expect(told.map(({ learningRate }) => learningRate)).toEqual(asked.map((at) => 0.01 * (1 - at)));
    expect(told.map(({ lambda: value }) => value)).toEqual(asked.map((at) => lambda(at)));
    expect(told.every(({ gateRate, steps }) => gateRate === 0.5 && steps === 5)).toBe(true);
    expect(told.map(({ step }) => step)).toEqual([1, 2, 3, 4, 5]);
  });

  test("needs an end, and is refused where it gives no rate", async () => {
    const trainer = await open({ learningRate: () => 0.1 });
    await expect(trainer.fit(classBatches(2))).rejects.toMatchObject({
      code: "OPTION",
      message: expect.stringContaining("learningRate is a schedule"),
    });
    await trainer.dispose();
    const negative = await open({ gateRate: (at) => 0.1 - at });
    await expect(negative.fit(classBatches(4), { steps: 4 })).rejects.toMatchObject({
      code: "OPTION",
      message: expect.stringContaining("gateRate is -0.15 at progress 0.25"),
    });
    expect(negative.step).toBe(1);
    await negative.dispose();
  });
});

describe.each(["host", "graph"] as const)("with updates in the %s", (updates) => {
  test.each([
    ["gates", 0.1, 0],
    ["weights", 0, 0.1],
  ] as const)("a rate of 0 keeps what it is for: only %s move", async (moving, gateRate, learningRate) => {
    const trainer = await open({ gateRate, learningRate, updates });
    await trainer.fit(classBatches(2));
    const gated = await trainer.gated();
    for (const { name, kind, initial } of trainer.parameters) {
      const moved = readNumbers(gated.value(name)!.data!).some((w, i) => w !== initial()[i]);
      expect([name, moved]).toEqual([name, (kind === "gate") === (moving === "gates")]);
    }
    await trainer.dispose();
  });

  test("gates follow the weights' rate where they have none of their own", async () => {
    const trainer = await open({ updates });
    const rates: number[] = [];
    await trainer.fit(classBatches(1), { onProgress: ({ gateRate }) => rates.push(gateRate) });
    expect(rates).toEqual([0.1]);
    await trainer.dispose();
  });
});

describe("warmupCosine", () => {
  test("rises in a line, stays, and falls along a cosine", () => {
    const rate = warmupCosine(2, { warmup: 0.2, hold: 0.2, end: 0.5 });
    expect(rate(0)).toBe(0);
    expect(rate(0.1)).toBeCloseTo(1, 12);
    expect(rate(0.2)).toBe(2);
    expect(rate(0.4)).toBe(2);
    expect(rate(0.7)).toBeCloseTo(1.25, 12);
    expect(rate(1)).toBeCloseTo(0.5, 12);
  });

  test("without warmup begins at its top", () => {
    expect(warmupCosine(3, { warmup: 0 })(0)).toBe(3);
  });

  test("parts that are more than the whole are refused", () => {
    expect(() => warmupCosine(1, { warmup: 0.7, hold: 0.5 })).toThrow("parts of training");
  });
});
