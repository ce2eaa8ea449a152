import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { exportDifference, tolerance } from "../../test/support/onnx-outputs.ts";
import { activationNames } from "./activations.ts";
import { layerRules } from "./layer-table.ts";

const l = tf.layers;

/** A model of one layer over inputs of the given shapes (batch left out). */
function single(layer: tf.layers.Layer, ...shapes: (number | null)[][]): tf.LayersModel {
  const inputs = shapes.map((shape) => tf.input({ shape }));
  const [first] = inputs;
  return tf.model({ inputs, outputs: layer.apply(inputs.length > 1 ? inputs : first!) as tf.SymbolicTensor });
}

/** The same layer between two convolutions, so that it meets channels-first values. */
function amid(layer: tf.layers.Layer, shape = [6, 5, 3]): tf.LayersModel {
  const input = tf.input({ shape });
  const before = l.conv2d({ filters: 4, kernelSize: 1 }).apply(input);
  const y = layer.apply(before) as tf.SymbolicTensor;
  const after = y.rank === 4 ? l.conv2d({ filters: 2, kernelSize: 1 }).apply(y) : y;
  return tf.model({ inputs: input, outputs: after as tf.SymbolicTensor });
}

const image = [6, 5, 3];

/** Configurations of every layer class that has a rule. */
const cases: Record<string, () => tf.LayersModel> = {
  "Dense of a matrix": () => single(l.dense({ units: 4, activation: "relu" }), [5]),
  "Dense without bias": () => single(l.dense({ units: 4, useBias: false }), [5]),
  "Dense over a sequence": () => single(l.dense({ units: 4, activation: "softmax" }), [6, 5]),
  "Dense over a sequence without bias": () => single(l.dense({ units: 4, useBias: false }), [6, 5]),
  "Dense over images": () => amid(l.dense({ units: 4, activation: "tanh" })),
  Conv1D: () => single(l.conv1d({ filters: 4, kernelSize: 3, activation: "relu" }), [9, 2]),
  "Conv1D same, dilated": () =>
    single(l.conv1d({ filters: 4, kernelSize: 3, padding: "same", dilationRate: 2 }), [9, 2]),
  "Conv1D same, strided": () =>
    single(l.conv1d({ filters: 4, kernelSize: 4, padding: "same", strides: 3, useBias: false }), [10, 2]),
  Conv2D: () => single(l.conv2d({ filters: 4, kernelSize: [3, 2], activation: "relu" }), image),
  "Conv2D with softmax": () => single(l.conv2d({ filters: 4, kernelSize: 1, activation: "softmax" }), image),
  "Conv2D same, strided": () =>
    single(l.conv2d({ filters: 4, kernelSize: [3, 4], strides: [2, 3], padding: "same" }), image),
  "Conv2D same, dilated": () =>
    single(l.conv2d({ filters: 2, kernelSize: 3, dilationRate: [2, 1], padding: "same" }), image),
  "Conv2D of open size": () =>
    single(l.conv2d({ filters: 2, kernelSize: 3, strides: 2, padding: "same" }), [null, null, 3]),
  "Conv2D channels first": () =>
    single(l.conv2d({ filters: 4, kernelSize: 3, padding: "same", dataFormat: "channelsFirst" }), [3, 6, 5]),
  DepthwiseConv2D: () => single(l.depthwiseConv2d({ kernelSize: 3, activation: "relu" }), image),
  "DepthwiseConv2D, multiplier 2": () =>
    single(l.depthwiseConv2d({ kernelSize: [2, 3], depthMultiplier: 2, padding: "same", strides: 2 }), image),
  SeparableConv2D: () => single(l.separableConv2d({ filters: 4, kernelSize: 3 }), image),
  "SeparableConv2D, multiplier 2, same": () =>
    single(
      l.separableConv2d({
        filters: 4,
        kernelSize: 3,
        depthMultiplier: 2,
        padding: "same",
        activation: "elu",
      }),
      image,
    ),
  "Conv2DTranspose valid": () => single(l.conv2dTranspose({ filters: 2, kernelSize: 3, strides: 2 }), image),
  "Conv2DTranspose same": () =>
    single(l.conv2dTranspose({ filters: 2, kernelSize: [3, 4], strides: [2, 1], padding: "same" }), image),
  "Conv2DTranspose with gaps": () =>
    single(l.conv2dTranspose({ filters: 2, kernelSize: 2, strides: 3, activation: "relu" }), image),
  "Conv2DTranspose same with gaps": () =>
    single(l.conv2dTranspose({ filters: 2, kernelSize: [1, 2], strides: 3, padding: "same" }), image),
  "Conv2DTranspose channels first": () =>
    single(l.conv2dTranspose({ filters: 2, kernelSize: 3, dataFormat: "channelsFirst" }), [3, 6, 5]),
  "BatchNormalization of features": () => single(l.batchNormalization(), [5]),
  "BatchNormalization of a sequence": () => single(l.batchNormalization({ epsilon: 1e-2 }), [6, 5]),
  "BatchNormalization of images": () => single(l.batchNormalization({ center: false }), image),
  "BatchNormalization without scale": () => amid(l.batchNormalization({ scale: false })),
  LayerNormalization: () => single(l.layerNormalization(), [6, 5]),
  "LayerNormalization of two axes, plain": () =>
    single(l.layerNormalization({ axis: [2, 3], center: false, scale: false }), image),
  "LayerNormalization amid convolutions": () => amid(l.layerNormalization({ epsilon: 1e-4 })),
  MaxPooling1D: () => single(l.maxPooling1d({ poolSize: 3, strides: 2, padding: "same" }), [9, 2]),
  AveragePooling1D: () => single(l.averagePooling1d({ poolSize: 3, strides: 2, padding: "same" }), [9, 2]),
  MaxPooling2D: () => single(l.maxPooling2d({ poolSize: 2 }), image),
  "MaxPooling2D same": () => single(l.maxPooling2d({ poolSize: [3, 2], strides: 2, padding: "same" }), image),
  AveragePooling2D: () => single(l.averagePooling2d({ poolSize: [2, 3], strides: 1 }), image),
  "AveragePooling2D same": () => amid(l.averagePooling2d({ poolSize: 3, strides: 2, padding: "same" })),
  "AveragePooling2D channels first": () =>
    single(l.averagePooling2d({ poolSize: 2, dataFormat: "channelsFirst" }), [3, 6, 5]),
  GlobalMaxPooling1D: () => single(l.globalMaxPooling1d({}), [9, 2]),
  GlobalAveragePooling1D: () => single(l.globalAveragePooling1d(), [9, 2]),
  GlobalMaxPooling2D: () => amid(l.globalMaxPooling2d({})),
  GlobalAveragePooling2D: () => amid(l.globalAveragePooling2d({})),
  "GlobalAveragePooling2D channels first": () =>
    single(l.globalAveragePooling2d({ dataFormat: "channelsFirst" }), [3, 6, 5]),
  ZeroPadding2D: () =>
    single(
      l.zeroPadding2d({
        padding: [
          [1, 2],
          [0, 3],
        ],
      }),
      image,
    ),
  "ZeroPadding2D amid convolutions": () => amid(l.zeroPadding2d({ padding: 1 })),
  "ZeroPadding2D channels first": () =>
    single(
      l.zeroPadding2d({
        padding: [
          [1, 2],
          [0, 3],
        ],
        dataFormat: "channelsFirst",
      }),
      [3, 6, 5],
    ),
  Cropping2D: () =>
    single(
      l.cropping2D({
        cropping: [
          [1, 0],
          [0, 2],
        ],
      }),
      image,
    ),
  "Cropping2D amid convolutions": () =>
    amid(
      l.cropping2D({
        cropping: [
          [1, 2],
          [1, 1],
        ],
      }),
    ),
  RepeatVector: () => single(l.repeatVector({ n: 3 }), [5]),
  UpSampling2D: () => single(l.upSampling2d({ size: [2, 3] }), image),
  "UpSampling2D bilinear": () => amid(l.upSampling2d({ size: [2, 3], interpolation: "bilinear" })),
  Flatten: () => amid(l.flatten()),
  "Flatten channels first": () => single(l.flatten({ dataFormat: "channelsFirst" }), [3, 6, 5]),
  Reshape: () => amid(l.reshape({ targetShape: [10, 12] })),
  "Reshape with an open size": () => single(l.reshape({ targetShape: [3, -1] }), image),
  "Reshape to an image": () => single(l.reshape({ targetShape: [2, 3, 4] }), [24]),
  Permute: () => amid(l.permute({ dims: [3, 1, 2] })),
  Add: () => single(l.add(), [6, 5], [6, 5], [6, 5]),
  "Add of different ranks": () => single(l.add(), [6, 5], [5]),
  "Multiply, broadcast": () => single(l.multiply(), [6, 5, 3], [1, 1, 3]),
  Maximum: () => single(l.maximum(), [5], [5]),
  Minimum: () => single(l.minimum(), [5], [5]),
  Average: () => single(l.average(), [5], [5], [5]),
  Concatenate: () => single(l.concatenate(), [5], [3]),
  "Concatenate along time": () => single(l.concatenate({ axis: 1 }), [5, 2], [3, 2]),
  Activation: () => single(l.activation({ activation: "sigmoid" }), [5]),
  ReLU: () => single(l.reLU(), [5]),
  "ReLU with a ceiling": () => amid(l.reLU({ maxValue: 0.5 })),
  LeakyReLU: () => amid(l.leakyReLU({ alpha: 0.1 })),
  ELU: () => single(l.elu(), [5]),
  PReLU: () => single(l.prelu(), [6, 5]),
  "PReLU amid convolutions": () => amid(l.prelu()),
  "PReLU with shared axes": () => amid(l.prelu({ sharedAxes: [1, 2] })),
  ThresholdedReLU: () => single(l.thresholdedReLU({ theta: 0.4 }), [5]),
  Softmax: () => single(l.softmax({ axis: -1 }), [6, 5]),
  "Softmax amid convolutions": () => amid(l.softmax({ axis: 3 })),
  Dropout: () => amid(l.dropout({ rate: 0.5 })),
  SpatialDropout1D: () => single(l.spatialDropout1d({ rate: 0.5 }), [6, 5]),
  GaussianDropout: () => single(l.gaussianDropout({ rate: 0.5 }), [5]),
  GaussianNoise: () => single(l.gaussianNoise({ stddev: 1 }), [5]),
  AlphaDropout: () => single(l.alphaDropout({ rate: 0.5 }), [5]),
  Embedding: () =>
    tf.sequential({ layers: [l.embedding({ inputDim: 9, outputDim: 4, inputLength: 6 }), l.flatten()] }),
  "Embedding of integers": () => {
    const input = tf.input({ shape: [6], dtype: "int32" });
    const y = l.embedding({ inputDim: 9, outputDim: 4 }).apply(input) as tf.SymbolicTensor;
    return tf.model({ inputs: input, outputs: l.globalAveragePooling1d().apply(y) as tf.SymbolicTensor });
  },
};

describe("an exported layer gives what tfjs gives, in onnxruntime-node and onnxruntime-web", () => {
  test.for(Object.entries(cases))("%s", async ([name, build]) => {
    expect(await exportDifference(build(), { integers: name.startsWith("Embedding") })).toBeLessThan(
      tolerance,
    );
  });

  test.for(activationNames.map((name) => [name] as const))("activation %s", async ([name]) => {
    // tfjs's typings list fewer names than it registers.
    const activation = name as "relu";
    expect(await exportDifference(single(l.activation({ activation }), [40]))).toBeLessThan(tolerance);
    if (name === "softmax" || name === "logSoftmax") return;
    expect(await exportDifference(amid(l.activation({ activation })))).toBeLessThan(tolerance);
  });
});

test("every rule has a case", () => {
  const covered = new Set(
    Object.values(cases).flatMap((build) => build().layers.map((layer) => layer.getClassName())),
  );
  expect(Object.keys(layerRules).filter((name) => !covered.has(name))).toEqual([]);
});
