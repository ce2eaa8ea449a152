import type { Graph } from "@dgate/onnx";
import { toGraph } from "@dgate/tfjs";
import * as tf from "@tensorflow/tfjs";

/** Starts a network that takes rows or images. */
export type Network = (input: tf.SymbolicTensor, seed: () => number) => tf.SymbolicTensor;

/** The graph of a network with weights drawn from a seed; its input is `input`, its logits the only output. */
export async function graphOf(
  shape: readonly number[],
  classes: number,
  network: Network,
  seed: number,
): Promise<Graph> {
  tf.enableProdMode(); // else tfjs recommends its native package, on stdout
  await tf.setBackend("cpu"); // for the initial weights only
  const model = modelOf(shape, classes, network, seed);
  const { graph } = await toGraph(model);
  model.dispose();
  return graph;
}

/** The same as a LayersModel, on the backend that tfjs has. */
export function modelOf(
  shape: readonly number[],
  classes: number,
  network: Network,
  seed: number,
): tf.LayersModel {
  let count = 0;
  const nextSeed = (): number => seed * 1000 + ++count;
  const input = tf.input({ shape: [...shape], name: "input" });
  const hidden = network(input, nextSeed);
  const logits = tf.layers
    .dense({ name: "output", units: classes, kernelInitializer: fanInUniform(nextSeed()) })
    .apply(hidden) as tf.SymbolicTensor; // of a symbolic tensor
  return tf.model({ inputs: input, outputs: logits });
}

/** Uniform in ±1/√(inputs of a unit), the usual start of LeNet-300-100 in the pruning literature. */
const fanInUniform = (seed: number) =>
  tf.initializers.varianceScaling({ scale: 1 / 3, mode: "fanIn", distribution: "uniform", seed });

const heNormal = (seed: number) => tf.initializers.heNormal({ seed });

/** Multilayer perceptron. */
export const mlp =
  (widths: readonly number[]): Network =>
  (input, seed) =>
    widths.reduce(
      (x, units, i) =>
        tf.layers
          .dense({
            name: `hidden${i + 1}`,
            units,
            activation: "relu",
            kernelInitializer: fanInUniform(seed()),
          })
          .apply(x) as tf.SymbolicTensor,
      input,
    );

const convolution = (
  x: tf.SymbolicTensor,
  name: string,
  filters: number,
  seed: number,
  more: {
    readonly kernelSize?: number;
    readonly strides?: number;
    readonly padding?: "same" | "valid";
    readonly activation?: "relu";
  } = {},
): tf.SymbolicTensor =>
  tf.layers
    .conv2d({ name, filters, kernelSize: 3, padding: "same", kernelInitializer: heNormal(seed), ...more })
    .apply(x) as tf.SymbolicTensor;

const pool = (x: tf.SymbolicTensor): tf.SymbolicTensor =>
  tf.layers.maxPooling2d({ poolSize: 2 }).apply(x) as tf.SymbolicTensor;

const relu = (x: tf.SymbolicTensor): tf.SymbolicTensor =>
  tf.layers.activation({ activation: "relu" }).apply(x) as tf.SymbolicTensor;

const dense = (x: tf.SymbolicTensor, name: string, units: number, seed: number): tf.SymbolicTensor =>
  tf.layers
    .dense({ name, units, activation: "relu", kernelInitializer: heNormal(seed) })
    .apply(x) as tf.SymbolicTensor;

/** LeNet-5 (LeCun et al. 1998) with ReLU and max pooling. */
export const lenet5: Network = (input, seed) => {
  const five = { kernelSize: 5, activation: "relu" } as const;
  const a = pool(convolution(input, "conv1", 6, seed(), { ...five, padding: "same" }));
  const b = pool(convolution(a, "conv2", 16, seed(), { ...five, padding: "valid" }));
  const flat = tf.layers.flatten().apply(b) as tf.SymbolicTensor;
  return dense(dense(flat, "hidden1", 120, seed()), "hidden2", 84, seed());
};

/** Pairs of 3 × 3 convolutions with pooling after each (Simonyan and Zisserman 2015), global pooling at the end. */
export const vgg =
  (widths: readonly number[]): Network =>
  (input, seed) => {
    const body = widths.reduce((x, filters, i) => {
      const a = convolution(x, `conv${i + 1}a`, filters, seed(), { activation: "relu" });
      const b = convolution(a, `conv${i + 1}b`, filters, seed(), { activation: "relu" });
      return pool(b);
    }, input);
    const flat = tf.layers.flatten().apply(body) as tf.SymbolicTensor;
    return dense(flat, "hidden", 2 * widths.at(-1)!, seed());
  };

/**
 * Residual stages of two blocks of two convolutions (He et al. 2016), without normalisation: the second convolution of a block starts at a fraction of its
 * usual weights, as many blocks would else add up; the first layer halves the image. The channels of a stage are coupled by its sums.
 */
export const resnet =
  (widths: readonly number[]): Network =>
  (input, seed) => {
    let x = convolution(input, "stem", widths[0]!, seed(), { activation: "relu", strides: 2 });
    widths.forEach((filters, stage) => {
      for (const block of [1, 2]) {
        const name = `stage${stage + 1}.block${block}`;
        const strides = stage > 0 && block === 1 ? 2 : 1;
        const skip =
          strides === 1 ? x : convolution(x, `${name}.skip`, filters, seed(), { kernelSize: 1, strides });
        const a = convolution(x, `${name}.a`, filters, seed(), { strides, activation: "relu" });
        const kernelInitializer = tf.initializers.varianceScaling({
          scale: 0.2,
          mode: "fanIn",
          distribution: "normal",
          seed: seed(),
        });
        const b = tf.layers
          .conv2d({ name: `${name}.b`, filters, kernelSize: 3, padding: "same", kernelInitializer })
          .apply(a) as tf.SymbolicTensor;
        x = relu(tf.layers.add().apply([skip, b]) as tf.SymbolicTensor);
      }
    });
    return tf.layers.globalAveragePooling2d({ name: "mean" }).apply(x) as tf.SymbolicTensor;
  };
