import { int, type Value } from "@dgate/onnx";
import type { Family } from "./family.ts";
import { convMacs, NetBuilder, type Style } from "./net-builder.ts";

const styles: Readonly<Record<string, Style>> = {
  "opset 11, computed flatten": { opset: 11, batchNorm: "folded", flatten: "computed" },
  "opset 13, constant flatten": { opset: 13, flatten: "constant" },
  "opset 18": { opset: 18 },
};
const blocked = () => ({ '"logits" is an output of the model': ["fc.neurons"] });

/** VGG: convolutions, Flatten of channels and positions, two hidden layers. */
export const vgg: Family = {
  name: "VGG",
  width: 8,
  variants: Object.keys(styles),
  build: (width, variant) => {
    const net = new NetBuilder(styles[variant]!);
    let x = net.input("image", ["batch", 3, 16, 16]);
    [
      [3, width],
      [width, 2 * width],
      [2 * width, 2 * width],
    ].forEach(([from, to], i) => {
      x = net.maxPool(net.layer(`conv${i}`, x, [from!, to!], { pad: 1 }), 2, 2);
    });
    const flat = net.flatten(x, 2 * width * 4);
    const a = net.op("Relu", [net.linear("hidden1", flat, [8 * width, 4 * width])]);
    // Dropout that an exporter left in does nothing at run time.
    const b = net.op("Relu", [net.linear("hidden2", net.op("Dropout", [a]), [4 * width, 4 * width])]);
    return net.output(net.linear("fc", b, [4 * width, 10], "logits"));
  },
  macs: (w) =>
    convMacs(3, w, 3, 16) +
    convMacs(w, 2 * w, 3, 8) +
    convMacs(2 * w, 2 * w, 3, 4) +
    8 * w * 4 * w +
    4 * w * 4 * w +
    4 * w * 10,
  prunable: () => ({ sites: 5, channels: 5 }),
  blocked,
};

function regNetMacs(from: number, to: number, before: number): number {
  return convMacs(from, to, 1, before) + 4 * 4 * to * 4 * 9 + 2 * to * (from / 4) + convMacs(to, to, 1, 4);
}

/** RegNetY block: 1×1, grouped 3×3 with groups of 4 channels, squeeze and excitation, 1×1, residual. */
export const regNet: Family = {
  name: "RegNet (grouped)",
  width: 16,
  variants: Object.keys(styles),
  build: (width, variant) => {
    const net = new NetBuilder(styles[variant]!);
    const block = (name: string, x: Value, from: number, to: number, stride: number): Value => {
      const a = net.layer(`${name}/1`, x, [from, to], { kernel: 1 });
      const b = net.layer(`${name}/2`, a, [to, to], { stride, pad: 1, group: to / 4 });
      const c = net.squeezeExcite(`${name}/se`, b, [to, from / 4], "relu", "Sigmoid");
      const d = net.layer(`${name}/3`, c, [to, to], { kernel: 1, activation: "none" });
      const shortcut =
        stride === 1
          ? x
          : net.layer(`${name}/down`, x, [from, to], { kernel: 1, stride, activation: "none" });
      return net.op("Relu", [net.op("Add", [d, shortcut])]);
    };
    const image = net.input("image", ["batch", 3, 16, 16]);
    const x = net.layer("stem", image, [3, width], { stride: 2, pad: 1 });
    const y = block("b", block("a", x, width, 2 * width, 2), 2 * width, 2 * width, 1);
    return net.output(net.classifier(y, 2 * width));
  },
  macs: (w) => {
    return (
      convMacs(3, w, 3, 8) +
      regNetMacs(w, 2 * w, 8) +
      convMacs(w, 2 * w, 1, 4) +
      regNetMacs(2 * w, 2 * w, 4) +
      2 * w * 10
    );
  },
  // A 1×1 and the grouped 3×3 after it have two sites each: whole groups, and the index within every group.
  prunable: () => ({ sites: 18, channels: 10 }),
  blocked,
};

/** Channels of ConvNeXt's stream: LayerNorm normalises over them, so they stay. */
const stream = 8;

/** ConvNeXt block: depthwise 7×7, channels last, LayerNorm, Linear, GELU, Linear, layer scale, residual. */
export const convNeXt: Family = {
  name: "ConvNeXt",
  width: 8,
  variants: ["opset 11", "opset 13", "opset 17", "opset 20"],
  build: (width, variant) => {
    const net = new NetBuilder({ opset: Number(variant.slice(6)) });
    const image = net.input("image", ["batch", 3, 16, 16]);
    const stem = net.conv2d("stem", image, [3, stream], { kernel: 4, stride: 4 });
    const channelsLast = net.transpose(stem, [0, 2, 3, 1]);
    let x = net.transpose(net.layerNorm("stem/norm", channelsLast, stream), [0, 3, 1, 2]);
    for (const name of ["a", "b"]) {
      const depthwise = net.conv2d(`${name}/dw`, x, [stream, stream], { kernel: 7, pad: 3, group: stream });
      const normal = net.layerNorm(`${name}/norm`, net.transpose(depthwise, [0, 2, 3, 1]), stream);
      const hidden = net.gelu(net.matmul(`${name}/up`, normal, [stream, width]), name);
      const narrow = net.matmul(`${name}/down`, hidden, [width, stream]);
      const scaled = net.op("Mul", [net.weight(`${name}/gamma`, [stream]), narrow]);
      x = net.op("Add", [x, net.transpose(scaled, [0, 3, 1, 2])]);
    }
    const pooled = net.transpose(net.op("GlobalAveragePool", [x]), [0, 2, 3, 1]);
    const y = net.op("Flatten", [net.layerNorm("norm", pooled, stream)], { axis: int(1) });
    return net.output(net.linear("fc", y, [stream, 10], "logits"));
  },
  macs: (w) => {
    const block = convMacs(stream, stream, 7, 4, stream) + 2 * 4 * 4 * stream * w;
    return convMacs(3, stream, 4, 4) + 2 * block + stream * 10;
  },
  prunable: () => ({ sites: 2, channels: 2 }),
  blocked: (variant) => {
    const reason =
      Number(variant.slice(6)) >= 17
        ? 'LayerNormalization "stem/norm" normalises over this axis: removing a channel changes the statistics'
        : 'ReduceMean "reducemean" reduces over this axis, and a removed channel would still count';
    const inStream = ["stem.filters", "a/dw.filters", "a/down.neurons", "b/dw.filters", "b/down.neurons"];
    return { [reason]: inStream, ...blocked() };
  },
};
