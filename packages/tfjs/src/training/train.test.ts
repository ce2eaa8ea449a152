import { randomGenerator } from "@dgate/core";
import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { holdThenCosine, learningRateSchedule } from "../callbacks/schedules.ts";
import { sparsityMonitor } from "../callbacks/sparsity-monitor.ts";
import { collapse, gate } from "../gating/gate.ts";
import { shuffledBatches } from "./batches.ts";
import { train } from "./train.ts";

/** y depends on 2 of 6 features; 2 hidden neurons are enough. */
function problem(rows = 64): { x: tf.Tensor2D; y: tf.Tensor2D } {
  const random = randomGenerator(3);
  const features = Array.from({ length: rows }, () => Array.from({ length: 6 }, () => random.normal()));
  const targets = features.map(([a = 0, b = 0]) => [Math.tanh(a) - 0.5 * b]);
  return { x: tf.tensor2d(features), y: tf.tensor2d(targets) };
}

function network(): tf.LayersModel {
  return tf.sequential({
    layers: [
      tf.layers.dense({
        units: 8,
        activation: "tanh",
        inputShape: [6],
        kernelInitializer: tf.initializers.glorotNormal({ seed: 1 }),
        name: "hidden",
      }),
      tf.layers.dense({
        units: 1,
        kernelInitializer: tf.initializers.glorotNormal({ seed: 2 }),
        name: "out",
      }),
    ],
  });
}

function compiledGated(lambda: number, depth = 3): tf.LayersModel {
  const gated = gate(network(), { depth, lambda });
  gated.compile({ optimizer: tf.train.momentum(0.05, 0.9), loss: "meanSquaredError" });
  return gated;
}

describe("train", () => {
  test("lets superfluous neurons die while the loss falls, and the monitor sees it", async () => {
    const { x, y } = problem();
    const gated = compiledGated(0.02);
    const lines: string[] = [];
    const monitor = sparsityMonitor({ print: (line) => lines.push(line), threshold: { relative: 0.02 } });
    const rates = learningRateSchedule(holdThenCosine(0.05, { warmup: 0.05 }));
    const logs = await train(gated, { x, y, epochs: 60, batchSize: 16, callbacks: [monitor, rates] });
    expect(logs).toHaveLength(60);
    expect(logs.at(-1)!["loss"]).toBeLessThan(logs[0]!["loss"]! / 2);
    const [first, last] = [monitor.records[0]!, monitor.records.at(-1)!];
    expect(first.report.active).toBe(8);
    expect(last.report.active).toBeLessThan(6);
    expect(last.report.active).toBeGreaterThan(0);
    expect(last.report.gap).toBeGreaterThanOrEqual(0);
    expect(last.norms["hidden.neurons"]).toHaveLength(8);
    expect(lines).toHaveLength(60);
    expect(lines[59]).toMatch(
      /^epoch 60\/60 · loss .* · active \d\/8 · near \d · smooth .* · sparse .* · gap .* · imbalance /,
    );
    const [kept, all] = [collapse(gated).predict(x) as tf.Tensor, gated.predict(x) as tf.Tensor];
    expect(tf.max(tf.abs(tf.sub(kept, all))).dataSync()[0]).toBeLessThan(1e-5);
  });

  test("gives the same weights in every run, and those of fitDataset over the same batches", async () => {
    const { x, y } = problem();
    const models = [compiledGated(0.01), compiledGated(0.01), compiledGated(0.01)];
    const options = { batchSize: 10, seed: 5 };
    await train(models[0]!, { x, y, epochs: 3, ...options });
    await train(models[1]!, { x, y, epochs: 3, ...options });
    await models[2]!.fitDataset(shuffledBatches(x, y, options), { epochs: 3 });
    const weights = models.map((model) => model.getWeights().map((weight) => [...weight.dataSync()]));
    expect(weights[1]).toEqual(weights[0]);
    expect(weights[2]).toEqual(weights[0]);
  });
});
