import type { SiteRule } from "@dgate/tfjs";
import * as tf from "@tensorflow/tfjs";
import { type NetworkName, side } from "./training.ts";

/** A network with the sites that are gated in it. */
interface Network {
  /** Shape of one input. */
  readonly shape: readonly number[];
  readonly hidden: (seed: () => number) => readonly tf.layers.Layer[];
  readonly rules: readonly SiteRule[];
}

/** Uniform in ±1/√(inputs of a unit), the usual start of LeNet-300-100 in the pruning literature. */
const fanInUniform = (seed: number) =>
  tf.initializers.varianceScaling({ scale: 1 / 3, mode: "fanIn", distribution: "uniform", seed });

const dense = (name: string, units: number, seed: number): tf.layers.Layer =>
  tf.layers.dense({ name, units, activation: "relu", kernelInitializer: fanInUniform(seed) });

const convolution = (name: string, filters: number, seed: number): tf.layers.Layer =>
  tf.layers.conv2d({
    name,
    filters,
    kernelSize: 5,
    activation: "relu",
    kernelInitializer: tf.initializers.heNormal({ seed }),
  });

const networks: Readonly<Record<NetworkName, Network>> = {
  "lenet-300-100": {
    shape: [side * side],
    hidden: (seed) => [dense("hidden1", 300, seed()), dense("hidden2", 100, seed())],
    rules: [
      { layer: "hidden1", site: ["inputs", "neurons"] },
      { layer: "hidden2", site: "neurons" },
      { layer: "output", site: "none" },
    ],
  },
  cnn: {
    shape: [side, side, 1],
    hidden: (seed) => [
      convolution("conv1", 8, seed()),
      tf.layers.maxPooling2d({ name: "pool1", poolSize: 2 }),
      convolution("conv2", 16, seed()),
      tf.layers.maxPooling2d({ name: "pool2", poolSize: 2 }),
      tf.layers.flatten({ name: "flatten" }),
      dense("hidden", 64, seed()),
    ],
    rules: [
      { type: "Conv2D", site: "filters" },
      { layer: "hidden", site: "neurons" },
      { layer: "output", site: "none" },
    ],
  },
};

export const shapeOf = (name: NetworkName): readonly number[] => networks[name].shape;

export const rulesOf = (name: NetworkName): readonly SiteRule[] => networks[name].rules;

/** A network that ends in ten logits, its weights drawn from a seed. */
export function buildNetwork(name: NetworkName, seed: number): tf.LayersModel {
  const { shape, hidden } = networks[name];
  let count = 0;
  const nextSeed = (): number => seed * 1000 + ++count;
  const input = tf.input({ shape: [...shape], name: "input" });
  const last = hidden(nextSeed).reduce(applied, input);
  const output = tf.layers.dense({ name: "output", units: 10, kernelInitializer: fanInUniform(nextSeed()) });
  return tf.model({ name, inputs: input, outputs: applied(last, output) });
}

/** What a layer makes of one symbolic tensor is one, too; its type does not say so. */
const applied = (x: tf.SymbolicTensor, layer: tf.layers.Layer): tf.SymbolicTensor =>
  layer.apply(x) as tf.SymbolicTensor;
