import { lambdaPath, linearWarmup } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { gate } from "../gating/gate.ts";
import { gatedSites, setLambda } from "../gating/inspect.ts";
import { learningRateOf } from "../training/optimizer-state.ts";
import { train } from "../training/train.ts";
import { holdThenCosine, lambdaSchedule, learningRateSchedule } from "./schedules.ts";
import { sparsityMonitor } from "./sparsity-monitor.ts";
import { targetSparsity } from "./target-sparsity.ts";

function network(): tf.LayersModel {
  const init = tf.initializers.glorotNormal({ seed: 1 });
  const model = gate(
    tf.sequential({
      layers: [
        tf.layers.dense({
          units: 6,
          inputShape: [4],
          activation: "tanh",
          kernelInitializer: init,
          name: "a",
        }),
        tf.layers.dense({ units: 6, activation: "tanh", kernelInitializer: init, name: "b" }),
        tf.layers.dense({ units: 1, kernelInitializer: init }),
      ],
    }),
    { lambda: 0.01 },
  );
  model.compile({ optimizer: tf.train.sgd(0.1), loss: "meanSquaredError" });
  return model;
}

const x = tf.randomNormal([12, 4], 0, 1, "float32", 1);
const y = tf.tidy(() => tf.tanh(tf.sum(x, 1, true)));

/** λ of the sites and the learning rate at each step. */
function recorder(model: tf.LayersModel): {
  seen: { lambdas: number[]; rate: number }[];
  callback: tf.CustomCallbackArgs;
} {
  const seen: { lambdas: number[]; rate: number }[] = [];
  const onBatchEnd = (): void => {
    seen.push({
      lambdas: gatedSites(model).map(({ lambda }) => lambda),
      rate: learningRateOf(model.optimizer)!,
    });
  };
  return { seen, callback: { onBatchEnd } };
}

describe.each(["train", "fit", "fitDataset"] as const)("schedules in %s", (how) => {
  test("follow the progress over all steps", async () => {
    const model = network();
    const { seen, callback } = recorder(model);
    const path = lambdaPath([
      [0, 0],
      [1, 1],
    ]);
    const schedules = [
      lambdaSchedule(path, { sites: ["a.neurons"] }),
      learningRateSchedule(holdThenCosine(0.2, { hold: 0.5 })),
    ];
    if (how === "train")
      await train(model, { x, y, epochs: 2, batchSize: 4, callbacks: [...schedules, callback] });
    if (how === "fit") {
      await model.fit(x, y, {
        epochs: 2,
        batchSize: 4,
        callbacks: [...schedules, new tf.CustomCallback(callback)],
      });
    }
    if (how === "fitDataset") {
      const dataset = tf.data.zip({ xs: tf.data.array(tf.unstack(x)), ys: tf.data.array(tf.unstack(y)) });
      const callbacks = [...schedules, new tf.CustomCallback(callback)];
      await model.fitDataset(dataset.batch(4), { epochs: 2, callbacks });
    }
    expect(seen.map(({ lambdas }) => lambdas[1])).toEqual([0.01, 0.01, 0.01, 0.01, 0.01, 0.01]);
    for (const [i, { lambdas, rate }] of seen.entries()) {
      expect(lambdas[0]).toBeCloseTo(i / 6, 10);
      expect(rate).toBeCloseTo(i <= 3 ? 0.2 : 0.1 * (1 + Math.cos((Math.PI * (i - 3)) / 3)), 10);
    }
  });
});

test("a warm-up of the rate rises from 0, and Adam's rate can be scheduled", async () => {
  const rate = holdThenCosine(1, { warmup: 0.2, hold: 0.6, final: 0.1 });
  expect([0, 0.1, 0.2, 0.6, 0.8, 1].map((progress) => rate(progress))).toEqual([
    0,
    expect.closeTo(0.5),
    1,
    1,
    expect.closeTo(0.55),
    expect.closeTo(0.1),
  ]);
  expect(() => holdThenCosine(1, { warmup: 0.8, hold: 0.5 })).toThrow(/warmup is 0.8/);
  const model = network();
  model.compile({ optimizer: tf.train.adam(1), loss: "meanSquaredError" });
  await train(model, { x, y, epochs: 1, callbacks: learningRateSchedule(() => 0.025) });
  expect(learningRateOf(model.optimizer)).toBe(0.025);
});

test("the monitor in fit records the start and every so many epochs, and prints where it is told", async () => {
  const model = network();
  const lines: string[] = [];
  const monitor = sparsityMonitor({ every: 2, print: (line) => lines.push(line) });
  await model.fit(x, y, {
    epochs: 5,
    callbacks: [monitor, lambdaSchedule(linearWarmup(0.02, { warmup: 0.5 }))],
  });
  expect(monitor.records.map(({ epoch }) => epoch)).toEqual([0, 2, 4]);
  expect(lines).toHaveLength(2);
  expect(lines[1]).toMatch(
    /^epoch 4\/5 · loss .* · active 12\/12 \(a.neurons 6\/6, b.neurons 6\/6\) · near 0/,
  );
  const { report, lambda, norms, logs } = monitor.records[2]!;
  expect(lambda["a.neurons"]).toBeCloseTo(0.02, 10);
  expect(logs["loss"]).toBeGreaterThan(0);
  expect(report.smooth - report.sparse).toBeCloseTo(report.gap, 8);
  expect(norms["b.neurons"]).toHaveLength(6);
  expect(() => sparsityMonitor({ every: 0 })).toThrow(/every is 0/);
});

test("target sparsity moves lambda, steers the sites it is told, and gives its memory away", async () => {
  const model = network();
  const steer = targetSparsity({ target: 0.5, lambda: 0.01, sites: ["a.neurons"] });
  await train(model, { x, y, epochs: 3, callbacks: steer });
  const [a, b] = gatedSites(model);
  expect(a!.lambda).toBe(steer.lambda);
  expect(a!.lambda).toBeGreaterThan(0.02);
  expect(b!.lambda).toBe(0.01);
  const other = targetSparsity({ target: 0.5, lambda: 0.01, sites: ["a.neurons"] });
  other.loadState(JSON.parse(JSON.stringify(steer.saveState())));
  expect(other.lambda).toBe(steer.lambda);
  expect(() => other.loadState({ lambda: "much" })).toThrow(/not that of a controller/);
  setLambda(model, 0);
});

test("target sparsity reaches its target", async () => {
  const model = network();
  const steer = targetSparsity({ target: 0.5, lambda: 0.005, threshold: { relative: 0.05 } });
  const monitor = sparsityMonitor({ print: false, threshold: { relative: 0.05 } });
  await train(model, { x, y, epochs: 150, batchSize: 4, callbacks: [steer, monitor] });
  const { active, groups } = monitor.records.at(-1)!.report;
  expect(active / groups).toBeGreaterThan(0.2);
  expect(active / groups).toBeLessThan(0.8);
});
