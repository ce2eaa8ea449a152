import * as tf from "@tensorflow/tfjs";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { useBackend } from "../backends/use-backend.ts";

type Build = () => tf.layers.Layer[];
const { layers } = tf;

/** Weights that do not depend on the backend and are not symmetric. */
const init = (seed: number): { kernelInitializer: ReturnType<typeof tf.initializers.randomUniform> } => ({
  kernelInitializer: tf.initializers.randomUniform({ minval: -0.4, maxval: 0.4, seed }),
});

const image: [number, number, number] = [12, 12, 2];
const classify = (seed: number): tf.layers.Layer =>
  layers.dense({ units: 3, activation: "softmax", ...init(seed) });

const lenet5: Build = () => [
  layers.conv2d({
    inputShape: image,
    filters: 6,
    kernelSize: 5,
    padding: "same",
    activation: "tanh",
    ...init(1),
  }),
  layers.averagePooling2d({ poolSize: 2 }),
  layers.conv2d({ filters: 8, kernelSize: 3, activation: "relu", ...init(2) }),
  layers.maxPooling2d({ poolSize: 2 }),
  layers.flatten(),
  layers.dense({ units: 12, activation: "relu", ...init(3) }),
  classify(4),
];

/** Every network and layer whose gradients must be right; shallow, so that roundings stay small. */
const networks: Readonly<Record<string, Build>> = {
  "LeNet-5": lenet5,
  "convolution and batch normalisation": () => [
    layers.conv2d({
      inputShape: image,
      filters: 4,
      kernelSize: 3,
      strides: 2,
      padding: "same",
      useBias: false,
      ...init(1),
    }),
    layers.batchNormalization(),
    layers.activation({ activation: "relu" }),
    layers.globalAveragePooling2d({}),
    classify(2),
  ],
  "depthwise convolution": () => [
    layers.depthwiseConv2d({
      inputShape: image,
      kernelSize: 3,
      depthMultiplier: 2,
      padding: "same",
      activation: "relu",
      depthwiseInitializer: tf.initializers.randomUniform({ minval: -0.4, maxval: 0.4, seed: 1 }),
    }),
    layers.globalMaxPooling2d({}),
    classify(2),
  ],
  "separable convolution": () => [
    layers.separableConv2d({
      inputShape: image,
      filters: 5,
      kernelSize: 3,
      strides: 2,
      depthwiseInitializer: tf.initializers.randomUniform({ minval: -0.4, maxval: 0.4, seed: 1 }),
      pointwiseInitializer: tf.initializers.randomUniform({ minval: -0.4, maxval: 0.4, seed: 2 }),
    }),
    layers.leakyReLU({ alpha: 0.1 }),
    layers.flatten(),
    classify(3),
  ],
  "transposed convolution": () => [
    layers.conv2d({
      inputShape: image,
      filters: 3,
      kernelSize: 3,
      strides: 2,
      activation: "elu",
      ...init(1),
    }),
    layers.conv2dTranspose({
      filters: 2,
      kernelSize: 3,
      strides: 2,
      padding: "same",
      activation: "selu",
      ...init(2),
    }),
    layers.globalAveragePooling2d({}),
    classify(3),
  ],
  "padding, cropping and up-sampling": () => [
    layers.zeroPadding2d({ inputShape: image, padding: 1 }),
    layers.conv2d({
      filters: 3,
      kernelSize: 1,
      strides: 2,
      padding: "same",
      activation: "softplus",
      ...init(1),
    }),
    // The cpu backend's gradient is right for square images alone, and for "nearest" in the first image alone.
    layers.upSampling2d({ size: [2, 2], interpolation: "bilinear" }),
    layers.cropping2D({
      cropping: [
        [1, 2],
        [0, 1],
      ],
    }),
    layers.flatten(),
    classify(2),
  ],
  "one-dimensional convolution": () => [
    layers.reshape({ inputShape: image, targetShape: [24, 12] }),
    layers.conv1d({ filters: 4, kernelSize: 3, activation: "sigmoid", ...init(1) }),
    layers.maxPooling1d({ poolSize: 2 }),
    layers.globalAveragePooling1d(),
    classify(2),
  ],
  "layer normalisation, swish and prelu": () => [
    layers.flatten({ inputShape: image }),
    layers.dense({ units: 8, ...init(1) }),
    layers.layerNormalization(),
    layers.activation({ activation: "swish" }),
    layers.dense({ units: 6, ...init(2) }),
    layers.prelu({ alphaInitializer: tf.initializers.constant({ value: 0.2 }) }),
    classify(3),
  ],
  embedding: () => [
    layers.flatten({ inputShape: image }),
    layers.embedding({
      inputDim: 4,
      outputDim: 3,
      embeddingsInitializer: tf.initializers.randomUniform({ minval: -1, maxval: 1, seed: 1 }),
    }),
    layers.globalAveragePooling1d(),
    classify(2),
  ],
};

const batch = 6;

/** Trains for some steps on fixed data and gives the loss of each, then all weights. */
async function train(
  build: Build,
  steps: number,
  optimizer: () => tf.Optimizer,
): Promise<{ losses: number[]; weights: number[] }> {
  const model = tf.sequential({ layers: build() });
  model.compile({ optimizer: optimizer(), loss: "categoricalCrossentropy" });
  // Whole numbers below 4 serve the embedding as words and the others as pixels.
  const x = tf.randomUniform([batch, ...image], 0, 4, "float32", 7).floor();
  const y = tf.oneHot(tf.tensor1d([0, 1, 2, 0, 1, 2], "int32"), 3, 1, 0, "float32");
  const losses: number[] = [];
  for (let step = 0; step < steps; step += 1) {
    // One loss and no metrics: a plain number.
    losses.push((await model.trainOnBatch(x, y)) as number);
  }
  const weights = model.getWeights().flatMap((tensor) => [...tensor.dataSync()]);
  tf.dispose([x, y]);
  model.dispose();
  return { losses, weights };
}

beforeAll(async () => {
  await useBackend("wasm");
});

afterAll(async () => {
  await useBackend("cpu");
});

describe("three steps on wasm end where they end on cpu", () => {
  test.each(Object.entries(networks))(
    "%s",
    async (_, build) => {
      await useBackend("cpu");
      const expected = await train(build, 3, () => tf.train.sgd(0.05));
      await useBackend("wasm");
      const actual = await train(build, 3, () => tf.train.sgd(0.05));
      const worst = actual.weights.reduce(
        (most, w, i) => Math.max(most, Math.abs(w - expected.weights[i]!)),
        0,
      );
      expect(actual.weights).toHaveLength(expected.weights.length);
      expect(worst).toBeLessThan(1e-4);
      expect(actual.losses[2]).toBeLessThan(actual.losses[0]!);
    },
    60_000,
  );
});

describe("on wasm", () => {
  test.each([
    ["momentum", (): tf.Optimizer => tf.train.momentum(0.02, 0.9)],
    ["Adam", (): tf.Optimizer => tf.train.adam(0.01)],
  ])(
    "the loss of LeNet-5 falls to a third with %s",
    async (_, optimizer) => {
      await useBackend("wasm");
      const { losses } = await train(lenet5, 60, optimizer);
      expect(losses.at(-1)).toBeLessThan(losses[0]! / 3);
    },
    60_000,
  );

  test("training keeps no memory", async () => {
    await useBackend("wasm");
    const before = { tensors: tf.memory().numTensors, buffers: tf.engine().backend.numDataIds() };
    const settle = await train(lenet5, 1, () => tf.train.sgd(0.01));
    expect(settle.losses).toHaveLength(1);
    const after = { tensors: tf.memory().numTensors, buffers: tf.engine().backend.numDataIds() };
    expect(after.buffers - before.buffers).toBe(after.tensors - before.tensors);
  });
});
