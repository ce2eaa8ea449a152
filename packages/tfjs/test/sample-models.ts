import * as tf from "@tensorflow/tfjs";

/** A small model of one layer class with what its gates need around it; for tests. */
export interface SampleModel {
  readonly name: string;
  readonly inputShape: readonly number[];
  readonly make: () => tf.LayersModel;
  /** Site kinds of the layer "gated". */
  readonly kinds: readonly string[];
  /** Values are indices below this bound rather than real numbers. */
  readonly vocabulary?: number;
}

const { layers } = tf;

function sequential(...parts: tf.layers.Layer[]): tf.LayersModel {
  const model = tf.sequential({ layers: parts });
  randomiseWeights(model);
  return model;
}

const head = (): tf.layers.Layer[] => [layers.flatten(), layers.dense({ units: 2, name: "head" })];

/** One model per gateable layer class. The layer under test is called `gated`, the output layer `head`. */
export const sampleModels: readonly SampleModel[] = [
  {
    name: "Dense",
    inputShape: [5],
    kinds: ["neurons", "inputs", "layer"],
    make: () =>
      sequential(
        layers.dense({ units: 4, activation: "tanh", inputShape: [5], name: "gated" }),
        layers.dense({ units: 2, name: "head" }),
      ),
  },
  {
    name: "Conv1D",
    inputShape: [6, 2],
    kinds: ["filters", "channels", "layer"],
    make: () =>
      sequential(
        layers.conv1d({ filters: 3, kernelSize: 3, inputShape: [6, 2], activation: "tanh", name: "gated" }),
        ...head(),
      ),
  },
  {
    name: "Conv2D",
    inputShape: [5, 5, 2],
    kinds: ["filters", "channels", "layer"],
    make: () =>
      sequential(
        layers.conv2d({
          filters: 3,
          kernelSize: 3,
          padding: "same",
          inputShape: [5, 5, 2],
          activation: "tanh",
          name: "gated",
        }),
        ...head(),
      ),
  },
  {
    name: "Conv2DTranspose",
    inputShape: [3, 3, 2],
    kinds: ["filters", "channels", "layer"],
    make: () =>
      sequential(
        layers.conv2dTranspose({
          filters: 3,
          kernelSize: 2,
          strides: 2,
          inputShape: [3, 3, 2],
          name: "gated",
        }),
        layers.activation({ activation: "tanh" }),
        ...head(),
      ),
  },
  {
    name: "DepthwiseConv2D",
    inputShape: [4, 4, 3],
    kinds: ["channels", "layer"],
    make: () =>
      sequential(
        layers.depthwiseConv2d({ kernelSize: 2, depthMultiplier: 2, inputShape: [4, 4, 3], name: "gated" }),
        layers.activation({ activation: "tanh" }),
        ...head(),
      ),
  },
  {
    name: "SeparableConv2D",
    inputShape: [4, 4, 3],
    kinds: ["filters", "channels", "layer"],
    make: () =>
      sequential(
        layers.separableConv2d({
          filters: 4,
          kernelSize: 2,
          depthMultiplier: 2,
          inputShape: [4, 4, 3],
          name: "gated",
        }),
        layers.activation({ activation: "tanh" }),
        ...head(),
      ),
  },
  {
    name: "Embedding",
    inputShape: [4],
    kinds: ["dimensions", "layer"],
    vocabulary: 6,
    make: () =>
      sequential(layers.embedding({ inputDim: 6, outputDim: 3, inputLength: 4, name: "gated" }), ...head()),
  },
  {
    name: "BatchNormalization",
    inputShape: [4, 4, 3],
    kinds: ["scale"],
    make: () =>
      sequential(
        layers.batchNormalization({ inputShape: [4, 4, 3], name: "gated" }),
        layers.activation({ activation: "tanh" }),
        ...head(),
      ),
  },
];

/** Gives every weight, biases and statistics included, values that are neither 0 nor 1, the same in each run. */
export function randomiseWeights(model: tf.LayersModel, seed = 1): void {
  const weights = model.getWeights().map((weight, i) => {
    const values = tf.randomNormal(weight.shape, 0, 0.5, "float32", seed * 100 + i);
    const isVariance = model.weights[i]!.name.includes("variance");
    return isVariance ? tf.add(tf.square(values), 0.5) : values;
  });
  model.setWeights(weights);
  tf.dispose(weights);
}

/** An input batch for a sample model, the same in each run. */
export function sampleInput({ inputShape, vocabulary }: SampleModel, batch = 3, seed = 7): tf.Tensor {
  const shape = [batch, ...inputShape];
  if (vocabulary === undefined) return tf.randomNormal(shape, 0, 1, "float32", seed);
  return tf.floor(tf.randomUniform(shape, 0, vocabulary, "float32", seed));
}
