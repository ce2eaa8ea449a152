import type { Graph, Value } from "@dgate/onnx";
import type { Family } from "./family.ts";
import { type Activation, convMacs, NetBuilder, type Style } from "./net-builder.ts";

const styles: Readonly<Record<string, Style>> = {
  "opset 11, folded": { opset: 11, batchNorm: "folded", flatten: "constant" },
  "opset 13": { opset: 13 },
  "opset 17, computed flatten": { opset: 17, flatten: "computed" },
  "opset 18, folded": { opset: 18, batchNorm: "folded" },
};
const blocked = () => ({ '"logits" is an output of the model': ["fc.neurons"] });

interface Block {
  readonly from: number;
  readonly to: number;
  readonly expanded: number;
  readonly stride: number;
  readonly kernel?: number;
  readonly squeezed?: number;
  readonly activation: Activation;
}

/** Expand 1×1, depthwise, (squeeze and excitation,) project 1×1; a residual where shapes allow it. */
function invertedResidual(
  net: NetBuilder,
  name: string,
  x: Value,
  block: Block,
  se?: "Sigmoid" | "HardSigmoid",
): Value {
  const { from, to, expanded, stride, kernel = 3, squeezed, activation } = block;
  const wide =
    from === expanded ? x : net.layer(`${name}/expand`, x, [from, expanded], { kernel: 1, activation });
  const pad = (kernel - 1) / 2;
  let y = net.layer(`${name}/dw`, wide, [expanded, expanded], {
    kernel,
    stride,
    pad,
    group: expanded,
    activation,
  });
  if (squeezed !== undefined && se) {
    const inner = se === "Sigmoid" ? "silu" : "relu";
    y = net.squeezeExcite(`${name}/se`, y, [expanded, squeezed], inner, se);
  }
  y = net.layer(`${name}/project`, y, [expanded, to], { kernel: 1, activation: "none" });
  return stride === 1 && from === to ? net.op("Add", [x, y]) : y;
}

function blockMacs({ from, to, expanded, kernel = 3, squeezed = 0, stride }: Block, size: number): number {
  return (
    (from === expanded ? 0 : convMacs(from, expanded, 1, size)) +
    convMacs(expanded, expanded, kernel, size / stride, expanded) +
    2 * convMacs(expanded, squeezed, 1, 1) +
    convMacs(expanded, to, 1, size / stride)
  );
}

const v2Blocks = (w: number): Block[] => [
  { from: 2 * w, to: w, expanded: 2 * w, stride: 1, activation: "relu6" },
  { from: w, to: 2 * w, expanded: 6 * w, stride: 2, activation: "relu6" },
  { from: 2 * w, to: 2 * w, expanded: 12 * w, stride: 1, activation: "relu6" },
  { from: 2 * w, to: 3 * w, expanded: 12 * w, stride: 2, activation: "relu6" },
  { from: 3 * w, to: 3 * w, expanded: 18 * w, stride: 1, activation: "relu6" },
];

/** MobileNetV2: inverted residuals with linear bottlenecks, ReLU6 as a Clip between 0 and 6. */
export const mobileNetV2: Family = {
  name: "MobileNetV2",
  width: 4,
  variants: Object.keys(styles),
  build: (width, variant) => {
    const net = new NetBuilder(styles[variant]!);
    const image = net.input("image", ["batch", 3, 16, 16]);
    let x = net.layer("stem", image, [3, 2 * width], { stride: 2, pad: 1, activation: "relu6" });
    v2Blocks(width).forEach((block, i) => (x = invertedResidual(net, `block${i}`, x, block)));
    x = net.layer("last", x, [3 * width, 8 * width], { kernel: 1, activation: "relu6" });
    return net.output(net.classifier(x, 8 * width));
  },
  macs: (w) => {
    const sizes = [8, 8, 4, 4, 2];
    const blocks = v2Blocks(w).map((block, i) => blockMacs(block, sizes[i]!));
    return convMacs(3, 2 * w, 3, 8) + blocks.reduce((a, b) => a + b) + convMacs(3 * w, 8 * w, 1, 2) + 80 * w;
  },
  // Stem, 5 depthwise, 4 expansions, 5 projections, the last layer. A depthwise filter goes with what it filters.
  prunable: () => ({ sites: 16, channels: 1 + 3 + 4 + 1 }),
  blocked,
};

const v3Blocks = (w: number): Block[] => [
  { from: 2 * w, to: 2 * w, expanded: 4 * w, stride: 1, squeezed: w, activation: "relu" },
  { from: 2 * w, to: 3 * w, expanded: 9 * w, stride: 2, kernel: 5, squeezed: 2 * w, activation: "hardSwish" },
  { from: 3 * w, to: 3 * w, expanded: 9 * w, stride: 1, kernel: 5, squeezed: 2 * w, activation: "hardSwish" },
];

/** MobileNetV3: squeeze and excitation with HardSigmoid, HardSwish, a hidden layer before the classifier. */
export const mobileNetV3: Family = {
  name: "MobileNetV3",
  width: 4,
  variants: Object.keys(styles),
  build: (width, variant) => {
    const net = new NetBuilder(styles[variant]!);
    const image = net.input("image", ["batch", 3, 16, 16]);
    let x = net.layer("stem", image, [3, 2 * width], { stride: 2, pad: 1, activation: "hardSwish" });
    v3Blocks(width).forEach((block, i) => (x = invertedResidual(net, `block${i}`, x, block, "HardSigmoid")));
    x = net.layer("last", x, [3 * width, 9 * width], { kernel: 1, activation: "hardSwish" });
    const flat = net.flatten(net.op("GlobalAveragePool", [x]), 9 * width);
    const hidden = net.hardSwish(net.linear("hidden", flat, [9 * width, 8 * width]), "hidden");
    return net.output(net.linear("fc", hidden, [8 * width, 10], "logits"));
  },
  macs: (w) => {
    const sizes = [8, 8, 4];
    const blocks = v3Blocks(w).map((block, i) => blockMacs(block, sizes[i]!));
    const head = convMacs(3 * w, 9 * w, 1, 4) + 9 * w * 8 * w + 8 * w * 10;
    return convMacs(3, 2 * w, 3, 8) + blocks.reduce((a, b) => a + b) + head;
  },
  // Stem and the first projection share a stream, the other two projections another one.
  prunable: () => ({ sites: 1 + 3 * 5 + 2, channels: 2 + 3 + 3 + 2 }),
  blocked,
};

const efficientBlocks = (w: number): Block[] => [
  { from: 2 * w, to: w, expanded: 2 * w, stride: 1, squeezed: w, activation: "silu" },
  { from: w, to: 2 * w, expanded: 6 * w, stride: 2, squeezed: w, activation: "silu" },
  { from: 2 * w, to: 2 * w, expanded: 12 * w, stride: 1, kernel: 5, squeezed: w, activation: "silu" },
];

function efficientNetGraph(width: number, style: Style): Graph {
  const net = new NetBuilder(style);
  const image = net.input("image", ["batch", 3, 16, 16]);
  let x = net.layer("stem", image, [3, 2 * width], { stride: 2, pad: 1, activation: "silu" });
  efficientBlocks(width).forEach((block, i) => (x = invertedResidual(net, `block${i}`, x, block, "Sigmoid")));
  x = net.layer("last", x, [2 * width, 8 * width], { kernel: 1, activation: "silu" });
  return net.output(net.classifier(x, 8 * width));
}

/** EfficientNet: squeeze and excitation with SiLU and Sigmoid. */
export const efficientNet: Family = {
  name: "EfficientNet",
  width: 4,
  variants: Object.keys(styles),
  build: (width, variant) => efficientNetGraph(width, styles[variant]!),
  macs: (w) => {
    const sizes = [8, 8, 4];
    const blocks = efficientBlocks(w).map((block, i) => blockMacs(block, sizes[i]!));
    return convMacs(3, 2 * w, 3, 8) + blocks.reduce((a, b) => a + b) + convMacs(2 * w, 8 * w, 1, 4) + 80 * w;
  },
  prunable: () => ({ sites: 1 + 4 + 5 + 5 + 1, channels: 1 + 2 + 2 + 3 + 1 }),
  blocked,
};
