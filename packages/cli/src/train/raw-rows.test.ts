import * as tf from "@tensorflow/tfjs";
import { expect, test } from "vitest";
import type { Task } from "../data/task.ts";
import { rawExamples, takeRawRows } from "./raw-rows.ts";

/** Columns 0 and 2 of two rows of three. */
const picked = (x: Float32Array) => tf.tensor2d([x[0]!, x[2]!, x[3]!, x[5]!], [2, 2]);

test("the network of standardised rows gives the same answers on raw rows, in raw units", async () => {
  await tf.setBackend("cpu");
  const scaling = {
    mean: Float64Array.of(100, -3, 7),
    deviation: Float64Array.of(20, 0.5, 1),
    target: { mean: 50, deviation: 8 },
  };
  const examples = { count: 2, x: Float32Array.of(0.5, -1, 0, -2, 0.25, 1), y: Float32Array.of(1, -1) };
  const task: Task = {
    name: "t",
    kind: "regression",
    inputShape: [3],
    outputs: 1,
    train: examples,
    test: examples,
    scaling,
  };
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ inputShape: [2], units: 4, activation: "tanh", biasInitializer: "randomNormal" }),
      tf.layers.dense({ units: 1, biasInitializer: "randomNormal" }),
    ],
  });
  const before = await (model.predict(picked(examples.x)) as tf.Tensor).data();
  await takeRawRows(model, scaling, [0, 2]);
  const raw = rawExamples(task);
  expect([...raw.x]).toEqual([110, -3.5, 7, 60, -2.875, 8]);
  expect([...raw.y]).toEqual([58, 42]);
  const after = await (model.predict(picked(raw.x)) as tf.Tensor).data();
  for (const i of [0, 1]) expect(after[i]).toBeCloseTo(before[i]! * 8 + 50, 4);
});
