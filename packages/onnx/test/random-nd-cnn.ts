import { type Graph, int, ints, type Value } from "@dgate/onnx";
import { fc } from "@dgate/testing";
import { GraphBuilder } from "./graph-builder.ts";
import { activations } from "./random-cnn.ts";
import { epsilon } from "./random-vision-layers.ts";

const layers = [
  "conv",
  "padded",
  "strided",
  "depthwise",
  "grouped",
  "batchNorm",
  "groupNorm",
  "residual",
  "maxPool",
  "averagePool",
  "up",
] as const;

/** A network over sequences `[batch, channels, length]` or volumes `[batch, channels, depth, height, width]`. */
export const ndCnn = fc.record({
  seed: fc.nat(),
  rank: fc.constantFrom(1, 3),
  layers: fc.array(fc.constantFrom(...layers), { minLength: 1, maxLength: 4 }),
  activation: fc.constantFrom(...activations),
  flatten: fc.boolean(),
  biases: fc.boolean(),
  sparsity: fc.constantFrom(0.25, 0.5, 0.75),
});

export type NdCnn = typeof ndCnn extends fc.Arbitrary<infer T> ? T : never;

interface State {
  readonly x: Value;
  readonly channels: number;
  readonly size: number;
}

type Rule = (net: GraphBuilder, name: string, state: State, all: (number: number) => number[]) => State;

const rules: { readonly [L in (typeof layers)[number]]: Rule } = {
  conv: (net, name, { x, channels, size }, all) => {
    return { x: net.conv(name, x, [channels, 6], { kernel: all(2) }), channels: 6, size: size - 1 };
  },
  padded: (net, name, { x, channels, size }, all) => {
    const pads = [...all(1), ...all(1)];
    return { x: net.conv(name, x, [channels, 8], { kernel: all(3), pads }), channels: 8, size };
  },
  strided: (net, name, { x, channels, size }, all) => {
    const options = { kernel: all(2), strides: all(2), autoPad: "SAME_UPPER" };
    return { x: net.conv(name, x, [channels, 6], options), channels: 6, size: Math.ceil(size / 2) };
  },
  depthwise: (net, name, { x, channels, size }, all) => {
    return {
      x: net.conv(name, x, [channels, channels], { kernel: all(1), group: channels }),
      channels,
      size,
    };
  },
  grouped: (net, name, { x, channels, size }, all) => {
    const group = channels % 2 === 0 ? 2 : 1;
    return { x: net.conv(name, x, [channels, 6], { kernel: all(1), group }), channels: 6, size };
  },
  batchNorm: (net, name, state) => ({ ...state, x: net.batchNorm(name, state.x, state.channels) }),
  groupNorm: (net, name, { x, channels, size }) => {
    const parameters = [
      net.weight(`${name}/scale`, [channels], 0.3, 1),
      net.weight(`${name}/shift`, [channels]),
    ];
    const attributes = { num_groups: int(channels % 2 === 0 ? 2 : 1), epsilon };
    return { x: net.op("GroupNormalization", [x, ...parameters], attributes), channels, size };
  },
  residual: (net, name, { x, channels, size }, all) => {
    const inner = net.op("Relu", [net.conv(`${name}/a`, x, [channels, 5], { kernel: all(1) })]);
    return {
      x: net.op("Add", [x, net.conv(`${name}/b`, inner, [5, channels], { kernel: all(1) })]),
      channels,
      size,
    };
  },
  maxPool: (net, _, { x, channels, size }, all) => {
    const window = { kernel_shape: ints(all(2)), strides: ints(all(2)) };
    return { x: net.op("MaxPool", [x], window), channels, size: Math.floor(size / 2) };
  },
  averagePool: (net, _, { x, channels, size }, all) => {
    return { x: net.op("AveragePool", [x], { kernel_shape: ints(all(2)) }), channels, size: size - 1 };
  },
  up: (net, name, { x, channels, size }, all) => {
    const options = { kernel: all(2), strides: all(2) };
    return { x: net.convTranspose(name, x, [channels, 4], options), channels: 4, size: 2 * size };
  },
};

export function buildNdCnn({ seed, rank, layers: chosen, activation, flatten }: NdCnn): Graph {
  const net = new GraphBuilder(seed, 21);
  const all = (number: number): number[] => Array.from({ length: rank }, () => number);
  const start = rank === 1 ? 16 : 6;
  let state: State = { x: net.input("x", ["batch", 2, ...all(start)]), channels: 2, size: start };
  chosen.forEach((layer, i) => {
    if (state.size < 3 || state.size > 2 * start) return;
    const next = rules[layer](net, `${layer}${i}`, state, all);
    state = { ...next, x: net.op(activation, [next.x]) };
  });
  const { x, channels, size } = state;
  const pooled = flatten ? x : net.op("GlobalAveragePool", [x]);
  const features = channels * (flatten ? size ** rank : 1);
  return net.output(net.gemm("head", net.op("Flatten", [pooled]), [features, 4]));
}
