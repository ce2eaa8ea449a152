import { type Graph, ints, type Value } from "@dgate/onnx";
import type { Family } from "./family.ts";
import { convMacs, NetBuilder, type Style } from "./net-builder.ts";

const styles: Readonly<Record<string, Style>> = {
  "opset 17": { opset: 17 },
  "opset 11, folded, computed flatten": { opset: 11, batchNorm: "folded", flatten: "computed" },
  "opset 13, constant flatten": { opset: 13, flatten: "constant" },
  "opset 18, folded": { opset: 18, batchNorm: "folded", flatten: "constant" },
};

const stages = [0, 1, 2, 3];

function stem(net: NetBuilder, width: number): Value {
  const image = net.input("image", ["batch", 3, 32, 32]);
  return net.maxPool(net.layer("stem", image, [3, width], { kernel: 7, stride: 2, pad: 3 }), 3, 2, 1);
}

function basicBlock(net: NetBuilder, name: string, x: Value, [from, to]: readonly [number, number]): Value {
  const stride = from === to ? 1 : 2;
  const inner = net.layer(`${name}/1`, x, [from, to], { stride, pad: 1 });
  const branch = net.layer(`${name}/2`, inner, [to, to], { pad: 1, activation: "none" });
  const shortcut =
    stride === 1 ? x : net.layer(`${name}/down`, x, [from, to], { kernel: 1, stride, activation: "none" });
  return net.op("Relu", [net.op("Add", [branch, shortcut])]);
}

/** ResNet-18 for images of 32 × 32. */
function resnet18(width: number, style: Style): Graph {
  const net = new NetBuilder(style);
  let x = stem(net, width);
  for (const stage of stages) {
    const to = width * 2 ** stage;
    const from = stage === 0 ? to : to / 2;
    x = basicBlock(net, `layer${stage + 1}/0`, x, [from, to]);
    x = basicBlock(net, `layer${stage + 1}/1`, x, [to, to]);
  }
  return net.output(net.classifier(x, 8 * width));
}

export const resNet18: Family = {
  name: "ResNet-18",
  width: 8,
  variants: Object.keys(styles),
  build: (width, variant) => resnet18(width, styles[variant]!),
  macs: (w) => {
    const down = [1, 2, 3].map((stage) => {
      const [from, to, size] = [w * 2 ** (stage - 1), w * 2 ** stage, 8 / 2 ** stage];
      return convMacs(from, to, 3, size) + 3 * convMacs(to, to, 3, size) + convMacs(from, to, 1, size);
    });
    return convMacs(3, w, 7, 16) + 4 * convMacs(w, w, 3, 8) + down.reduce((a, b) => a + b) + 8 * w * 10;
  },
  // One stream a stage, and the inside of each of eight blocks.
  prunable: () => ({ sites: 20, channels: 12 }),
  blocked: () => ({ '"logits" is an output of the model': ["fc.neurons"] }),
};

function bottleneck(
  net: NetBuilder,
  name: string,
  x: Value,
  [from, width, stride]: readonly [number, number, number],
): Value {
  const narrow = net.layer(`${name}/1`, x, [from, width], { kernel: 1 });
  const inner = net.layer(`${name}/2`, narrow, [width, width], { stride, pad: 1 });
  const branch = net.layer(`${name}/3`, inner, [width, 4 * width], { kernel: 1, activation: "none" });
  const shortcut =
    from === 4 * width
      ? x
      : net.layer(`${name}/down`, x, [from, 4 * width], { kernel: 1, stride, activation: "none" });
  return net.op("Relu", [net.op("Add", [branch, shortcut])]);
}

/** The first two stages of ResNet-50, two blocks each. */
export const resNet50: Family = {
  name: "ResNet-50 (bottlenecks)",
  width: 4,
  variants: Object.keys(styles),
  build: (width, variant) => {
    const net = new NetBuilder(styles[variant]!);
    let x = bottleneck(net, "layer1/0", stem(net, width), [width, width, 1]);
    x = bottleneck(net, "layer1/1", x, [4 * width, width, 1]);
    x = bottleneck(net, "layer2/0", x, [4 * width, 2 * width, 2]);
    x = bottleneck(net, "layer2/1", x, [8 * width, 2 * width, 1]);
    return net.output(net.classifier(x, 8 * width));
  },
  macs: (w) => {
    const stage1 =
      convMacs(w, w, 1, 8) +
      convMacs(4 * w, w, 1, 8) +
      2 * convMacs(w, w, 3, 8) +
      3 * convMacs(w, 4 * w, 1, 8);
    const stage2 =
      convMacs(4 * w, 2 * w, 1, 8) +
      convMacs(8 * w, 2 * w, 1, 4) +
      2 * convMacs(2 * w, 2 * w, 3, 4) +
      2 * convMacs(2 * w, 8 * w, 1, 4) +
      convMacs(4 * w, 8 * w, 1, 4);
    return convMacs(3, w, 7, 16) + stage1 + stage2 + 8 * w * 10;
  },
  // Two streams, two narrow spaces in each of four blocks, and the stem.
  prunable: () => ({ sites: 15, channels: 11 }),
  blocked: () => ({ '"logits" is an output of the model': ["fc.neurons"] }),
};

/** ResNet-20's shortcut without weights: every second position, and channels of zeros on both sides. */
function padShortcut(net: NetBuilder, x: Value, width: number): Value {
  const positions = net.slice(x, [0, 0], [Number.MAX_SAFE_INTEGER, Number.MAX_SAFE_INTEGER], [2, 3], [2, 2]);
  if (net.opset >= 18) {
    const axes = net.integers("axes", [1]);
    return net.op("Pad", [positions, net.integers("pads", [width / 2, width / 2]), undefined, axes]);
  }
  return net.op("Pad", [positions, net.integers("pads", [0, width / 2, 0, 0, 0, width / 2, 0, 0])]);
}

/** A ResNet for CIFAR with shortcuts of option A: blocks of width w, 2·w and 2·w. */
export const resNetA: Family = {
  name: "ResNet with padded shortcuts",
  width: 8,
  variants: Object.keys(styles),
  build: (width, variant) => {
    const net = new NetBuilder(styles[variant]!);
    const image = net.input("image", ["batch", 3, 8, 8]);
    let x = basicBlock(net, "layer1/0", net.layer("stem", image, [3, width], { pad: 1 }), [width, width]);
    const inner = net.layer("layer2/0/1", x, [width, 2 * width], { stride: 2, pad: 1 });
    const branch = net.layer("layer2/0/2", inner, [2 * width, 2 * width], { pad: 1, activation: "none" });
    x = net.op("Relu", [net.op("Add", [branch, padShortcut(net, x, width)])]);
    x = basicBlock(net, "layer2/1", x, [2 * width, 2 * width]);
    return net.output(net.classifier(x, 2 * width));
  },
  macs: (w) =>
    convMacs(3, w, 3, 8) +
    2 * convMacs(w, w, 3, 8) +
    convMacs(w, 2 * w, 3, 4) +
    3 * convMacs(2 * w, 2 * w, 3, 4) +
    2 * w * 10,
  // The wide stream holds the narrow one between two runs of new channels; two convolutions write all three.
  prunable: () => ({ sites: 1 + 2 + 1 + 3 + 1 + 3, channels: 1 + 2 + 3 }),
  blocked: () => ({ '"logits" is an output of the model': ["fc.neurons"] }),
};

/** Focus of YOLOv5: four strided slices of the image side by side, so that each input channel is there four times. */
export const focus: Family = {
  name: "Focus stem",
  width: 8,
  variants: Object.keys(styles),
  build: (width, variant) => {
    const net = new NetBuilder(styles[variant]!);
    const image = net.input("image", ["batch", 3, 16, 16]);
    const end = Number.MAX_SAFE_INTEGER;
    const parts = [
      [0, 0],
      [1, 0],
      [0, 1],
      [1, 1],
    ].map((start) => net.slice(image, start, [end, end], [2, 3], [2, 2]));
    const x = net.layer("stem", net.concat(parts), [12, width], { pad: 1, activation: "silu" });
    const dilated = net.op("MaxPool", [x], { kernel_shape: ints([5, 5]), pads: ints([2, 2, 2, 2]) });
    // Spatial pyramid pooling: the same channels, pooled with three windows.
    const pyramid = net.concat([x, dilated, net.maxPool(dilated, 5, 1, 2)]);
    const y = net.layer("spp", pyramid, [3 * width, 2 * width], { kernel: 1, activation: "silu" });
    return net.output(net.classifier(y, 2 * width));
  },
  macs: (w) => convMacs(12, w, 3, 8) + convMacs(3 * w, 2 * w, 1, 8) + 2 * w * 10,
  prunable: () => ({ sites: 2, channels: 2 }),
  blocked: () => ({ '"logits" is an output of the model': ["fc.neurons"] }),
};
