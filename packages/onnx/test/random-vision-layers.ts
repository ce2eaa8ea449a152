import { float, int, ints, string, tensorOf, type Value } from "@dgate/onnx";
import type { GraphBuilder } from "./graph-builder.ts";

/** The state of a network under construction: `[batch, channels, size, size]`. */
export interface CnnState {
  readonly x: Value;
  readonly channels: number;
  readonly size: number;
}

type Rule = (net: GraphBuilder, name: string, state: CnnState) => CnnState;

export const visionLayers = [
  "groupNorm",
  "torchGroupNorm",
  "instanceNorm",
  "localNorm",
  "depthToSpace",
  "spaceToDepth",
  "padShortcut",
  "groupedUp",
  "unpool",
  "resize",
  "twice",
  "stride",
  "mirror",
  "leak",
  "tile",
  "hardSwish",
  "threeWays",
  "wholeGroups",
] as const;

/** Large enough that rounding errors of a constant channel are not magnified by 1/√ε. */
export const epsilon = float(0.1);

const groupsOf = (channels: number): number => [3, 2].find((each) => channels % each === 0) ?? 1;

function scaleAndShift(net: GraphBuilder, name: string, size: number): Value[] {
  return [net.weight(`${name}/scale`, [size], 0.3, 1), net.weight(`${name}/shift`, [size])];
}

/** Layers of vision models beyond convolution and pooling, for networks of operator set 21. */
export const visionRules: { readonly [L in (typeof visionLayers)[number]]: Rule } = {
  groupNorm: (net, name, { x, channels, size }) => {
    const attributes = { num_groups: int(groupsOf(channels)), epsilon };
    return {
      x: net.op("GroupNormalization", [x, ...scaleAndShift(net, name, channels)], attributes),
      channels,
      size,
    };
  },
  torchGroupNorm: (net, name, { x, channels, size }) => {
    const groups = groupsOf(channels);
    const grouped = net.reshape(x, [0, groups, -1], `${name}/groups`);
    const [ones, zeros] = [1, 0].map((number, i) =>
      net.graph.addInitializer(
        `${name}/${i}`,
        tensorOf(
          "float32",
          [groups],
          Array.from({ length: groups }, () => number),
        ),
      ),
    );
    const back = net.reshape(
      net.op("InstanceNormalization", [grouped, ones, zeros], { epsilon }),
      [-1, channels, size, size],
      `${name}/back`,
    );
    const scaled = net.op("Mul", [back, net.weight(`${name}/scale`, [channels, 1, 1], 0.3, 1)]);
    return { x: net.op("Add", [scaled, net.weight(`${name}/shift`, [channels, 1, 1])]), channels, size };
  },
  instanceNorm: (net, name, { x, channels, size }) => {
    return {
      x: net.op("InstanceNormalization", [x, ...scaleAndShift(net, name, channels)], { epsilon }),
      channels,
      size,
    };
  },
  localNorm: (net, _, { x, channels, size }) => ({
    x: net.op("LRN", [x], { size: int(3), alpha: float(0.1) }),
    channels,
    size,
  }),
  depthToSpace: (net, name, { x, channels, size }) => {
    const wide = net.conv(name, x, [channels, 12], { kernel: [1, 1] });
    const mode = string(channels % 2 === 0 ? "DCR" : "CRD");
    return { x: net.op("DepthToSpace", [wide], { blocksize: int(2), mode }), channels: 3, size: 2 * size };
  },
  spaceToDepth: (net, name, { x, channels, size }) => {
    const narrow = net.conv(name, x, [channels, 3], { kernel: size % 2 === 0 ? [1, 1] : [2, 2] });
    return {
      x: net.op("SpaceToDepth", [narrow], { blocksize: int(2) }),
      channels: 12,
      size: Math.floor(size / 2),
    };
  },
  padShortcut: (net, name, { x, channels, size }) => {
    const wide = net.conv(name, x, [channels, channels + 3], { pads: [1, 1, 1, 1] });
    const pads = net.integers(`${name}/pads`, [0, 1, 0, 0, 0, 2, 0, 0]);
    return { x: net.op("Add", [wide, net.op("Pad", [x, pads])]), channels: channels + 3, size };
  },
  groupedUp: (net, name, { x, channels, size }) => {
    const group = groupsOf(channels);
    const w = net.weight(`${name}/kernel`, [channels, 2, 3, 3], 0.5);
    const attributes = {
      group: int(group),
      strides: ints([2, 2]),
      pads: ints([1, 1, 1, 1]),
      output_padding: ints([1, 1]),
    };
    const up = net.op("ConvTranspose", [x, w, net.weight(`${name}/bias`, [2 * group])], attributes, name);
    return { x: up, channels: 2 * group, size: 2 * size };
  },
  unpool: (net, name, { x, channels, size }) => {
    if (size % 2 !== 0) return { x, channels, size };
    const window = { kernel_shape: ints([2, 2]), strides: ints([2, 2]) };
    const [most, places] = net.graph.addNode({
      op: "MaxPool",
      name: `${name}/pool`,
      inputs: [x],
      outputs: 2,
      attributes: window,
    }).outputs;
    const worked = net.conv(name, most!, [channels, channels], { pads: [1, 1, 1, 1] });
    return { x: net.op("MaxUnpool", [worked, places], window), channels, size };
  },
  resize: (net, name, { x, channels, size }) => {
    const scales = net.graph.addInitializer(`${name}/scales`, tensorOf("float32", [4], [1, 1, 1.5, 1.5]));
    const mode = string(channels % 2 === 0 ? "linear" : "nearest");
    return { x: net.op("Resize", [x, undefined, scales], { mode }), channels, size: Math.floor(1.5 * size) };
  },
  twice: (net, _, { x, channels, size }) => ({
    x: net.op("Concat", [x, x], { axis: int(1) }),
    channels: 2 * channels,
    size,
  }),
  // Every second row from the second on, and as many columns, from the last but one backwards.
  stride: (net, name, { x, channels, size }) => {
    const half = Math.floor(size / 2);
    const ranges = [
      [1, -2],
      [1_000_000, -2 - half],
      [2, 3],
      [2, -1],
    ].map((list, i) => net.integers(`${name}/${i}`, list));
    return { x: net.op("Slice", [x, ...ranges]), channels, size: half };
  },
  mirror: (net, name, { x, channels, size }) => {
    const pads = net.integers(`${name}/pads`, [0, 0, 1, 1, 0, 0, 1, 1]);
    return { x: net.op("Pad", [x, pads], { mode: string("reflect") }), channels, size: size + 2 };
  },
  leak: (net, name, { x, channels, size }) => {
    const zero = net.graph.addInitializer(`${name}/zero`, tensorOf("float32", [], [0]));
    const slope = net.graph.addInitializer(`${name}/slope`, tensorOf("float32", [1], [0.1]));
    const leaked = net.op("Mul", [x, slope]);
    return { x: net.op("Where", [net.op("Greater", [x, zero]), x, leaked]), channels, size };
  },
  tile: (net, name, { x, channels, size }) => {
    const doubled = net.op("Tile", [x, net.integers(`${name}/repeats`, [1, 2, 1, 1])]);
    return { x: net.conv(name, doubled, [2 * channels, 4], { kernel: [1, 1] }), channels: 4, size };
  },
  hardSwish: (net, name, { x, channels, size }) => {
    const [three, low, high, six] = [3, 0, 6, 6].map((number, i) =>
      net.graph.addInitializer(`${name}/${i}`, tensorOf("float32", [], [number])),
    );
    const gate = net.op("Div", [net.op("Clip", [net.op("Add", [x, three]), low, high]), six]);
    return { x: net.op("Mul", [x, gate]), channels, size };
  },
  threeWays: (net, name, { x, channels, size }) => {
    const wide = net.conv(name, x, [channels, 9], { kernel: [1, 1] });
    const [a, b, c] = net.graph.addNode({
      op: "Split",
      name: `${name}/split`,
      inputs: [wide, net.integers(`${name}/sizes`, [2, 4, 3])],
      outputs: 3,
      attributes: { axis: int(1) },
    }).outputs;
    return { x: net.op("Concat", [c!, a!, net.op("Tanh", [b!])], { axis: int(1) }), channels: 9, size };
  },
  wholeGroups: (net, name, { x, channels, size }) => {
    const wide = net.conv(`${name}/wide`, x, [channels, 12], { kernel: [1, 1] });
    const grouped = net.conv(name, net.op("Relu", [wide]), [12, 8], { pads: [1, 1, 1, 1], group: 4 });
    return { x: grouped, channels: 8, size };
  },
};
