import {
  gate,
  holdThenCosine,
  lambdaSchedule,
  learningRateSchedule,
  sparsityMonitor,
  train,
  warmupStableDecay,
} from "@dgate/tfjs";
import * as tf from "@tensorflow/tfjs";

const model = tf.sequential({
  layers: [
    tf.layers.dense({ units: 32, activation: "relu", inputShape: [4], name: "hidden" }),
    tf.layers.dense({ units: 1, name: "out" }),
  ],
});
const x = tf.randomNormal([256, 4], 0, 1, "float32", 1);
const y = tf.tidy(() => tf.tanh(tf.sum(x, 1, true)));

const gated = gate(model, { depth: 3, lambda: 3e-2 }); // same outputs as model, until it is trained
gated.compile({ optimizer: tf.train.momentum(0.05, 0.9), loss: "meanSquaredError" });
const monitor = sparsityMonitor(); // prints a line an epoch; the numbers are in monitor.records
const rate = learningRateSchedule(holdThenCosine(0.05, { warmup: 0.05 }));
const lambda = lambdaSchedule(warmupStableDecay(3e-2)); // up from 0, held, down to 0: what is left recovers
await train(gated, { x, y, epochs: 40, batchSize: 32, seed: 1, callbacks: [monitor, rate, lambda] });
