import type { Value } from "@dgate/onnx";
import type { Family } from "./family.ts";
import { convMacs, NetBuilder, type Style } from "./net-builder.ts";

const styles: Readonly<Record<string, Style>> = {
  "opset 11, folded, computed flatten": { opset: 11, batchNorm: "folded", flatten: "computed" },
  "opset 13": { opset: 13 },
  "opset 18, folded": { opset: 18, batchNorm: "folded", flatten: "constant" },
};
const blocked = () => ({ '"logits" is an output of the model': ["fc.neurons"] });
const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

function inceptionBlock(net: NetBuilder, name: string, x: Value, from: number, w: number): Value {
  const one = net.layer(`${name}/1x1`, x, [from, w], { kernel: 1 });
  const three = net.layer(`${name}/3x3`, net.layer(`${name}/3x3r`, x, [from, w], { kernel: 1 }), [w, 2 * w], {
    pad: 1,
  });
  const five = net.layer(`${name}/5x5`, net.layer(`${name}/5x5r`, x, [from, w], { kernel: 1 }), [w, w], {
    kernel: 5,
    pad: 2,
  });
  // Factorised 7×1 and 1×7, as in Inception v3.
  const tall = net.conv(`${name}/7x1`, x, [from, w], { kernel: [7, 1], pads: [3, 0, 3, 0] });
  const wide = net.op("Relu", [
    net.conv(`${name}/1x7`, net.op("Relu", [tall]), [w, w], { kernel: [1, 7], pads: [0, 3, 0, 3] }),
  ]);
  const pooled = net.layer(`${name}/pool`, net.averagePool(x, 3, 1, 1), [from, w], { kernel: 1 });
  return net.concat([one, three, five, wide, pooled]);
}

function inceptionMacs(from: number, w: number): number {
  const size = 8;
  return (
    4 * convMacs(from, w, 1, size) +
    convMacs(w, 2 * w, 3, size) +
    convMacs(w, w, 5, size) +
    size * size * w * from * 7 +
    size * size * w * w * 7
  );
}

/** Branches of different kernels, joined. */
export const inception: Family = {
  name: "Inception",
  width: 4,
  variants: Object.keys(styles),
  build: (width, variant) => {
    const net = new NetBuilder(styles[variant]!);
    const x = net.layer("stem", net.input("image", ["batch", 3, 8, 8]), [3, width], { pad: 1 });
    const y = inceptionBlock(net, "a", x, width, width);
    return net.output(net.classifier(inceptionBlock(net, "b", y, 6 * width, width), 6 * width));
  },
  macs: (w) => convMacs(3, w, 3, 8) + inceptionMacs(w, w) + inceptionMacs(6 * w, w) + 6 * w * 10,
  prunable: () => ({ sites: 17, channels: 17 }),
  blocked,
};

function fire(
  net: NetBuilder,
  name: string,
  x: Value,
  [from, squeeze, expand]: readonly [number, number, number],
): Value {
  const s = net.op("Relu", [net.conv2d(`${name}/squeeze`, x, [from, squeeze], { kernel: 1 })]);
  const one = net.op("Relu", [net.conv2d(`${name}/1x1`, s, [squeeze, expand], { kernel: 1 })]);
  const three = net.op("Relu", [net.conv2d(`${name}/3x3`, s, [squeeze, expand], { pad: 1 })]);
  return net.concat([one, three]);
}

/** Fire modules; the classifier is a convolution whose average is the output. */
export const squeezeNet: Family = {
  name: "SqueezeNet",
  width: 4,
  variants: Object.keys(styles),
  build: (width, variant) => {
    const net = new NetBuilder(styles[variant]!);
    const image = net.input("image", ["batch", 3, 19, 19]);
    const stem = net.op("Relu", [net.conv2d("stem", image, [3, 2 * width], { stride: 2 })]);
    let x = net.maxPool(stem, 3, 2);
    x = fire(net, "fire2", x, [2 * width, width, 2 * width]);
    x = fire(net, "fire3", x, [4 * width, width, 2 * width]);
    const scores = net.op("Relu", [net.conv2d("fc", x, [4 * width, 10], { kernel: 1 })]);
    const y = net.flatten(net.op("GlobalAveragePool", [scores]), 10);
    net.graph.rename(y, "logits");
    return net.output(y);
  },
  macs: (w) =>
    convMacs(3, 2 * w, 3, 9) +
    sum(
      [2 * w, 4 * w].map(
        (from) => convMacs(from, w, 1, 4) + convMacs(w, 2 * w, 1, 4) + convMacs(w, 2 * w, 3, 4),
      ),
    ) +
    convMacs(4 * w, 10, 1, 4),
  prunable: () => ({ sites: 7, channels: 7 }),
  blocked: () => ({ '"logits" is an output of the model': ["fc.filters"] }),
};

/** BN–ReLU–Conv before every convolution, growth by Concat: each layer reads all channels made before it. */
export const denseNet: Family = {
  name: "DenseNet",
  width: 4,
  variants: ["opset 11", "opset 13", "opset 18"],
  build: (width, variant) => {
    const net = new NetBuilder({ opset: Number(variant.slice(6)) });
    const before = (name: string, x: Value, channels: number): Value =>
      net.op("Relu", [net.batchNorm(`${name}/bn`, x, channels)]);
    const block = (name: string, start: Value, from: number): Value => {
      const features = [start];
      for (let i = 0; i < 3; i++) {
        const [at, channels] = [`${name}/${i}`, from + i * width];
        const x = features.length === 1 ? start : net.concat(features);
        const narrow = net.conv2d(`${at}/1`, before(`${at}/1`, x, channels), [channels, 2 * width], {
          kernel: 1,
          bias: false,
        });
        features.push(
          net.conv2d(`${at}/2`, before(`${at}/2`, narrow, 2 * width), [2 * width, width], {
            pad: 1,
            bias: false,
          }),
        );
      }
      return net.concat(features);
    };
    const image = net.input("image", ["batch", 3, 16, 16]);
    const stem = net.layer("stem", image, [3, 2 * width], { stride: 2, pad: 1 });
    const first = block("a", net.maxPool(stem, 3, 2, 1), 2 * width);
    const between = net.conv2d("transition", before("transition", first, 5 * width), [5 * width, 2 * width], {
      kernel: 1,
      bias: false,
    });
    const second = block("b", net.averagePool(between, 2, 2), 2 * width);
    return net.output(net.classifier(before("last", second, 5 * width), 5 * width));
  },
  macs: (w) => {
    const block = (size: number): number =>
      sum([2 * w, 3 * w, 4 * w].map((from) => convMacs(from, 2 * w, 1, size) + convMacs(2 * w, w, 3, size)));
    return convMacs(3, 2 * w, 3, 8) + block(4) + convMacs(5 * w, 2 * w, 1, 4) + block(2) + 5 * w * 10;
  },
  prunable: () => ({ sites: 14, channels: 14 }),
  blocked,
};

/** Channels of two groups interleaved: Reshape, Transpose, Reshape. */
function channelShuffle(net: NetBuilder, name: string, x: Value, channels: number, size: number): Value {
  const split = net.reshape(x, [-1, 2, channels / 2, size, size], `${name}/split`);
  return net.reshape(net.transpose(split, [0, 2, 1, 3, 4]), [-1, channels, size, size], `${name}/merge`);
}

/** Channels of each half of ShuffleNetV2's stream. */
const half = 6;

/** ShuffleNetV2: half of the channels pass, half are worked on, then both are interleaved. */
export const shuffleNetV2: Family = {
  name: "ShuffleNetV2",
  width: 8,
  variants: Object.keys(styles),
  build: (width, variant) => {
    const net = new NetBuilder(styles[variant]!);
    const unit = (name: string, x: Value, from: number, stride: number): Value => {
      const a = net.layer(`${name}/1`, x, [from, width], { kernel: 1 });
      const b = net.layer(`${name}/2`, a, [width, width], {
        stride,
        pad: 1,
        group: width,
        activation: "none",
      });
      return net.layer(`${name}/3`, b, [width, half], { kernel: 1 });
    };
    const image = net.input("image", ["batch", 3, 16, 16]);
    const stem = net.layer("stem", image, [3, width], { stride: 2, pad: 1 });
    const down = net.layer("down/1", stem, [width, width], {
      stride: 2,
      pad: 1,
      group: width,
      activation: "none",
    });
    const left = net.layer("down/2", down, [width, half], { kernel: 1 });
    let x = channelShuffle(net, "a", net.concat([left, unit("a", stem, width, 2)]), 2 * half, 4);
    for (const name of ["b", "c"]) {
      const [pass, work] = net.split(x, [half, half]);
      x = channelShuffle(net, name, net.concat([pass!, unit(name, work!, half, 1)]), 2 * half, 4);
    }
    return net.output(net.classifier(net.layer("last", x, [2 * half, 2 * width], { kernel: 1 }), 2 * width));
  },
  macs: (w) => {
    const strided = convMacs(w, w, 3, 4, w) + convMacs(w, half, 1, 4);
    const unit = convMacs(half, w, 1, 4) + convMacs(w, w, 3, 4, w) + convMacs(w, half, 1, 4);
    return (
      convMacs(3, w, 3, 8) +
      strided +
      convMacs(w, w, 1, 8) +
      strided +
      2 * unit +
      convMacs(2 * half, 2 * w, 1, 4) +
      2 * w * 10
    );
  },
  // Everything but the stream, which is halved and interleaved again and again.
  chosen: ["stem", "down/1", "a/1", "a/2", "b/1", "b/2", "c/1", "c/2", "last"].map(
    (name) => `${name}/conv.filters`,
  ),
  prunable: () => ({ sites: 11, channels: 6 }),
  blocked: () => ({
    'Split "split_b/merge_output" mixes channels in a way that does not split': [
      "b/3/conv.filters",
      "c/3/conv.filters",
    ],
    ...blocked(),
  }),
};

/** ShuffleNetV1: a residual block of grouped 1×1 convolutions with a shuffle between. */
export const shuffleNetV1: Family = {
  name: "ShuffleNetV1",
  width: 8,
  variants: Object.keys(styles),
  build: (width, variant) => {
    const net = new NetBuilder(styles[variant]!);
    const stem = net.layer("stem", net.input("image", ["batch", 3, 8, 8]), [3, 2 * width], { pad: 1 });
    const a = net.layer("a", stem, [2 * width, 2 * width], { kernel: 1, group: 2 });
    const shuffled = channelShuffle(net, "shuffle", a, 2 * width, 8);
    const b = net.layer("b", shuffled, [2 * width, 2 * width], {
      pad: 1,
      group: 2 * width,
      activation: "none",
    });
    const c = net.layer("c", b, [2 * width, 2 * width], { kernel: 1, group: 2, activation: "none" });
    return net.output(net.classifier(net.op("Relu", [net.op("Add", [c, stem])]), 2 * width));
  },
  macs: (w) =>
    convMacs(3, 2 * w, 3, 8) +
    2 * convMacs(2 * w, 2 * w, 1, 8, 2) +
    convMacs(2 * w, 2 * w, 3, 8, 2 * w) +
    2 * w * 10,
  // The same index of both groups, not one of the two groups.
  chosen: ["stem/conv.filters.2", "a/conv.filters.2", "b/conv.filters.2", "c/conv.filters.2"],
  prunable: () => ({ sites: 8, channels: 3 }),
  blocked,
};
