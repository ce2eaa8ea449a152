import { type Graph, int, ints, type Value } from "@dgate/onnx";
import { fc } from "@dgate/testing";
import { GraphBuilder } from "./graph-builder.ts";
import { type CnnState, visionLayers, visionRules } from "./random-vision-layers.ts";

export const activations = [
  "Relu",
  "Sigmoid",
  "Tanh",
  "LeakyRelu",
  "Elu",
  "Softplus",
  "HardSigmoid",
  "Gelu",
] as const;

const layers = [
  "conv",
  "padded",
  "strided",
  "dilated",
  "grouped",
  "depthwise",
  "batchNorm",
  "residual",
  "concat",
  "maxPool",
] as const;
const moreLayers = [
  "averagePool",
  "up",
  "squeezeExcite",
  "pad",
  "slope",
  "split",
  "slice",
  "shuffle",
  ...visionLayers,
] as const;

export const cnn = fc.record({
  seed: fc.nat(),
  layers: fc.array(fc.constantFrom(...layers, ...moreLayers), { minLength: 1, maxLength: 5 }),
  activation: fc.constantFrom(...activations),
  head: fc.constantFrom("flatten", "channelsLast", "globalAverage", "globalMax", "reduce"),
  biases: fc.boolean(),
  sparsity: fc.constantFrom(0.25, 0.5, 0.75),
});

export type Cnn = typeof cnn extends fc.Arbitrary<infer T> ? T : never;
type Layer = Cnn["layers"][number];

type State = CnnState;

const half = { kernel_shape: ints([2, 2]), strides: ints([2, 2]) };

const rules: { readonly [L in Layer]: (net: GraphBuilder, name: string, state: State) => State } = {
  conv: (net, name, { x, channels, size }) => ({
    x: net.conv(name, x, [channels, 6]),
    channels: 6,
    size: size - 2,
  }),
  padded: (net, name, { x, channels, size }) => {
    return { x: net.conv(name, x, [channels, 8], { pads: [1, 1, 1, 1], bias: false }), channels: 8, size };
  },
  strided: (net, name, { x, channels, size }) => {
    const same = net.conv(name, x, [channels, 6], { strides: [2, 2], autoPad: "SAME_UPPER" });
    return { x: same, channels: 6, size: Math.ceil(size / 2) };
  },
  dilated: (net, name, { x, channels, size }) => {
    return {
      x: net.conv(name, x, [channels, 5], { kernel: [2, 2], dilations: [2, 2] }),
      channels: 5,
      size: size - 2,
    };
  },
  grouped: (net, name, { x, channels, size }) => {
    const group = channels % 2 === 0 ? 2 : 1;
    return { x: net.conv(name, x, [channels, 6], { kernel: [1, 1], group }), channels: 6, size };
  },
  depthwise: (net, name, { x, channels, size }) => {
    const options = { pads: [1, 1, 1, 1], group: channels, bias: size % 2 === 0 };
    return { x: net.conv(name, x, [channels, 2 * channels], options), channels: 2 * channels, size };
  },
  batchNorm: (net, name, state) => ({ ...state, x: net.batchNorm(name, state.x, state.channels) }),
  residual: (net, name, { x, channels, size }) => {
    const inner = net.op("Relu", [net.conv(`${name}/a`, x, [channels, 5], { pads: [1, 1, 1, 1] })]);
    const branch = net.conv(`${name}/b`, inner, [5, channels], { kernel: [1, 1] });
    return { x: net.op("Add", [x, branch]), channels, size };
  },
  concat: (net, name, { x, channels, size }) => {
    const other = net.conv(name, x, [channels, 3], { kernel: [1, 1] });
    return { x: net.op("Concat", [other, x], { axis: int(1) }), channels: channels + 3, size };
  },
  maxPool: (net, _, { x, channels, size }) => ({
    x: net.op("MaxPool", [x], half),
    channels,
    size: Math.floor(size / 2),
  }),
  averagePool: (net, _, { x, channels, size }) => {
    const padded = { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) };
    const counted = size % 2 === 0 ? { count_include_pad: int(1) } : {};
    return {
      x: net.op("AveragePool", [x], { ...padded, ...counted }),
      channels,
      size: Math.floor((size - 1) / 2) + 1,
    };
  },
  up: (net, name, { x, channels, size }) => {
    return { x: net.convTranspose(name, x, [channels, 4], { strides: [2, 2] }), channels: 4, size: size * 2 };
  },
  squeezeExcite: (net, name, { x, channels, size }) => {
    const pooled = net.op("GlobalAveragePool", [x]);
    const squeezed = net.op("Relu", [net.conv(`${name}/a`, pooled, [channels, 3], { kernel: [1, 1] })]);
    const gate = net.op("Sigmoid", [net.conv(`${name}/b`, squeezed, [3, channels], { kernel: [1, 1] })]);
    return { x: net.op("Mul", [x, gate]), channels, size };
  },
  pad: (net, name, { x, channels, size }) => {
    const pads = net.integers(`${name}/pads`, [0, 0, 1, 0, 0, 0, 0, 1]);
    return { x: net.op("Pad", [x, pads]), channels, size: size + 1 };
  },
  slope: (net, name, { x, channels, size }) => ({
    x: net.op("PRelu", [x, net.weight(name, [channels, 1, 1])]),
    channels,
    size,
  }),
  slice: (net, name, { x, channels, size }) => {
    const wide = net.conv(name, x, [channels, 9], { kernel: [1, 1] });
    const range = ["starts", "ends", "axes"].map((part, i) =>
      net.integers(`${name}/${part}`, [[2], [-2], [1]][i]!),
    );
    return { x: net.op("Slice", [wide, ...range]), channels: 5, size };
  },
  shuffle: (net, name, { x, channels, size }) => {
    // Channels c·2 + g become g·n + c: two groups are interleaved.
    const wide = net.conv(name, x, [channels, 8], { kernel: [1, 1] });
    const split = net.reshape(wide, [0, 4, 2, size, size], `${name}/split`);
    const merged = net.reshape(net.transpose(split, [0, 2, 1, 3, 4]), [0, 8, size, size], `${name}/merge`);
    return { x: merged, channels: 8, size };
  },
  ...visionRules,
  split: (net, name, { x, channels, size }) => {
    const wide = net.conv(name, x, [channels, 8], { kernel: [1, 1] });
    const sizes = net.integers(`${name}/sizes`, [5, 3]);
    const [a, b] = net.graph.addNode({
      op: "Split",
      name: `${name}/split`,
      inputs: [wide, sizes],
      outputs: 2,
      attributes: { axis: int(1) },
    }).outputs;
    const narrow = net.conv(`${name}/narrow`, a!, [5, 3], { kernel: [1, 1] });
    return { x: net.op("Add", [narrow, b!]), channels: 3, size };
  },
};

const heads: { readonly [H in Cnn["head"]]: (net: GraphBuilder, state: State) => Value } = {
  flatten: (net, { x, channels, size }) =>
    net.gemm("head", net.op("Flatten", [x]), [channels * size * size, 4]),
  channelsLast: (net, { x, channels, size }) => {
    const features = size * size * channels;
    return net.matmul("head", net.reshape(net.transpose(x, [0, 2, 3, 1]), [-1, features]), [features, 4]);
  },
  globalAverage: (net, { x, channels }) => {
    return net.gemm("head", net.op("Flatten", [net.op("GlobalAveragePool", [x])]), [channels, 4]);
  },
  globalMax: (net, { x, channels }) => {
    return net.conv("head", net.op("GlobalMaxPool", [x]), [channels, 4], { kernel: [1, 1] });
  },
  reduce: (net, { x, channels }) => {
    const mean = net.op("ReduceMean", [x, net.integers("axes", [2, 3])], { keepdims: int(0) });
    return net.gemm("head", mean, [channels, 4]);
  },
};

export function buildCnn({ seed, layers: chosen, activation, head: kind }: Cnn): Graph {
  const net = new GraphBuilder(seed, 21);
  let state: State = { x: net.input("x", ["batch", 2, 12, 12]), channels: 2, size: 12 };
  chosen.forEach((layer, i) => {
    if (state.size < 4 || state.size > 24 || state.channels > 40) return;
    const next = rules[layer](net, `${layer}${i}`, state);
    state = { ...next, x: net.op(activation, [next.x]) };
  });
  return net.output(heads[kind](net, state));
}
