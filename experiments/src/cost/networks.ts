import { randomGenerator } from "@dgate/core";
import type { Graph, SiteKind } from "@dgate/onnx";
import { charGpt } from "../../../packages/onnx/test/models/char-gpt.ts";
import { graphOf, mlp, modelOf, type Network, vgg } from "../vision/networks.ts";

interface Numbers {
  readonly data: Float32Array | Int32Array;
  readonly shape: readonly number[];
}

/** A network whose training step is timed. */
export interface CostNetwork {
  readonly title: string;
  /** Groups that are gated, counted by hand. */
  readonly groups: number;
  readonly build: (seed: number) => Promise<Graph>;
  /** What is gated there. */
  readonly gate: readonly (SiteKind | (string & {}))[];
  /** One batch of noise with labels for `crossEntropy`. */
  readonly batch: (seed: number) => Readonly<Record<string, Numbers>>;
  /** The same for tfjs, where it can be built. */
  readonly layers?: {
    readonly build: (seed: number) => ReturnType<typeof modelOf>;
    readonly gate: RegExp;
    readonly classes: number;
  };
}

export const networkNames = ["lenet-300-100", "cnn", "gpt"] as const;

export type NetworkName = (typeof networkNames)[number];

const classes = 10;

/** The network of a name, or a tiny one of its kind. */
export function costNetwork(name: NetworkName, tiny: boolean): CostNetwork {
  if (name === "gpt") return gpt(tiny);
  return name === "cnn" ? cnn(tiny) : lenet(tiny);
}

function lenet(tiny: boolean): CostNetwork {
  const widths = tiny ? [12, 8] : [300, 100];
  const rows = tiny ? 8 : 128;
  return {
    ...onImages(tiny ? [36] : [784], mlp(widths), rows, /^hidden/),
    title: `${tiny ? "MLP" : "LeNet"}-${widths.join("-")}, batch ${rows}`,
    groups: widths.reduce((a, b) => a + b),
    gate: ["neurons"],
  };
}

function cnn(tiny: boolean): CostNetwork {
  const [widths, size, rows] = tiny ? [[4], 6, 8] : [[8, 16], 28, 32];
  return {
    ...onImages([size, size, 1], vgg(widths), rows, /^conv/),
    title: `CNN of ${2 * widths.length} convolutions, batch ${rows}`,
    groups: 2 * widths.reduce((a, b) => a + b),
    gate: ["filters"],
  };
}

function onImages(
  shape: readonly number[],
  network: Network,
  rows: number,
  gate: RegExp,
): Pick<CostNetwork, "build" | "batch" | "layers"> {
  return {
    build: (seed) => graphOf(shape, classes, network, seed),
    batch(seed) {
      const random = randomGenerator(seed);
      const size = rows * shape.reduce((a, b) => a * b);
      const data = Float32Array.from({ length: size }, () => random.next());
      return { input: { data, shape: [rows, ...shape] }, labels: labels([rows], classes) };
    },
    layers: { build: (seed) => modelOf(shape, classes, network, seed), gate, classes },
  };
}

function gpt(tiny: boolean): CostNetwork {
  const { layers, heads, width, context } = tiny
    ? { layers: 1, heads: 2, width: 8, context: 6 }
    : { layers: 2, heads: 4, width: 128, context: 64 };
  const [rows, vocabulary] = [tiny ? 2 : 8, tiny ? 11 : 65];
  const shape = [rows, context];
  return {
    title: `GPT of ${layers} layer${layers > 1 ? "s" : ""}, batch ${rows} of ${context} tokens`,
    groups: layers * (heads + 4 * width),
    build: async (seed) => charGpt({ layers, heads, width, context, vocabulary, seed }).graph,
    gate: ["heads", ...Array.from({ length: layers }, (_, i) => `/h.${i}/mlp/c_fc/MatMul.neurons`)],
    batch(seed) {
      const random = randomGenerator(seed);
      const ids = Int32Array.from({ length: rows * context }, () => random.integer(vocabulary));
      return { input_ids: { data: ids, shape }, labels: labels(shape, vocabulary) };
    },
  };
}

function labels(shape: readonly number[], count: number): Numbers {
  const data = Int32Array.from({ length: shape.reduce((a, b) => a * b) }, (_, i) => i % count);
  return { data, shape };
}
