import type { Graph, Value } from "@dgate/onnx";
import type { Family } from "./family.ts";
import { convMacs, NetBuilder } from "./net-builder.ts";

type Norm = "batch" | "torchGroup" | "group" | "instance";
type Up = "transposed" | "scales" | "linear" | "sizes" | "subpixel";

interface Form {
  readonly opset: number;
  readonly norm: Norm;
  readonly up: Up;
  /** Height and width are known at run time only. */
  readonly dynamic?: boolean;
}

const forms: Readonly<Record<string, Form>> = {
  "opset 11, transposed convolutions": { opset: 11, norm: "batch", up: "transposed" },
  "opset 13, Resize by factors, GroupNorm of torch": { opset: 13, norm: "torchGroup", up: "scales" },
  "opset 11, Resize to sizes, GroupNorm of torch": { opset: 11, norm: "torchGroup", up: "sizes" },
  "opset 17, bilinear, any image size": { opset: 17, norm: "torchGroup", up: "linear", dynamic: true },
  "opset 18, InstanceNorm, to sizes of any image": {
    opset: 18,
    norm: "instance",
    up: "sizes",
    dynamic: true,
  },
  "opset 21, GroupNormalization": { opset: 21, norm: "group", up: "transposed" },
  "opset 17, DepthToSpace": { opset: 17, norm: "batch", up: "subpixel" },
};

const perGroup = 4;

function block(
  net: NetBuilder,
  name: string,
  x: Value,
  [from, to]: readonly [number, number],
  norm: Norm,
): Value {
  const layer = (at: string, y: Value, channels: number): Value => {
    const conv = net.conv2d(`${at}/conv`, y, [channels, to], { pad: 1, bias: norm !== "batch" });
    switch (norm) {
      case "batch":
        return net.op("Relu", [net.batchNorm(`${at}/bn`, conv, to)]);
      case "torchGroup":
        return net.op("Relu", [net.torchGroupNorm(`${at}/gn`, conv, to, to / perGroup)]);
      case "group":
        return net.op("Relu", [net.groupNorm(`${at}/gn`, conv, to, to / perGroup)]);
      default:
        return net.activate("silu", net.instanceNorm(`${at}/in`, conv, to), at);
    }
  };
  return layer(`${name}/2`, layer(`${name}/1`, x, from), to);
}

function up(
  net: NetBuilder,
  name: string,
  x: Value,
  skip: Value,
  [from, to]: readonly [number, number],
  kind: Up,
): Value {
  switch (kind) {
    case "transposed":
      return net.upConv2d(`${name}/up`, x, [from, to]);
    case "subpixel":
      return net.depthToSpace(net.conv2d(`${name}/up`, x, [from, 4 * to], { kernel: 1 }));
    default: {
      const large =
        kind === "sizes"
          ? net.upsampleTo(x, skip)
          : net.upsample(x, kind === "linear" ? "linear" : "nearest");
      return net.conv2d(`${name}/up`, large, [from, to], { kernel: 1 });
    }
  }
}

function unetGraph(width: number, { opset, norm, up: kind, dynamic = false }: Form): Graph {
  const net = new NetBuilder({ opset });
  const size = dynamic ? ["height", "width"] : [16, 16];
  const image = net.input("image", ["batch", 3, ...size]);
  const a = block(net, "down1", image, [3, width], norm);
  const b = block(net, "down2", net.maxPool(a, 2, 2), [width, 2 * width], norm);
  const c = block(net, "middle", net.maxPool(b, 2, 2), [2 * width, 4 * width], norm);
  const d = net.concat([up(net, "up2", c, b, [4 * width, 2 * width], kind), b]);
  const e = block(net, "up2", d, [4 * width, 2 * width], norm);
  const f = net.concat([a, up(net, "up1", e, a, [2 * width, width], kind)]);
  const g = block(net, "up1", f, [2 * width, width], norm);
  const mask = net.conv2d("fc", g, [width, 2], { kernel: 1 });
  net.graph.rename(mask, "logits");
  return net.output(mask);
}

/** A 2 × 2 transposed convolution meets each input position once, a 1 × 1 one after Resize each output position. */
function upMacs(from: number, to: number, size: number, kind: Up): number {
  switch (kind) {
    case "transposed":
      return convMacs(from, to, 2, size / 2);
    case "subpixel":
      return convMacs(from, 4 * to, 1, size / 2);
    default:
      return convMacs(from, to, 1, size);
  }
}

function double(from: number, to: number, size: number): number {
  return convMacs(from, to, 3, size) + convMacs(to, to, 3, size);
}

/** Two levels down and up, skips joined by Concat on either side. */
export const unet: Family = {
  name: "UNet",
  width: 16,
  variants: Object.keys(forms),
  dims: { height: 16, width: 16 },
  build: (width, variant) => unetGraph(width, forms[variant]!),
  macs: (w, variant) => {
    const kind = forms[variant]!.up;
    return (
      double(3, w, 16) +
      double(w, 2 * w, 8) +
      double(2 * w, 4 * w, 4) +
      upMacs(4 * w, 2 * w, 8, kind) +
      double(4 * w, 2 * w, 8) +
      upMacs(2 * w, w, 16, kind) +
      double(2 * w, w, 16) +
      convMacs(w, 2, 1, 16)
    );
  },
  prunable: () => ({ sites: 12, channels: 12 }),
  blocked: () => ({ '"logits" is an output of the model': ["fc.filters"] }),
  // A normalisation of constants divides rounding errors by √ε; a block of four channels is no constant when they differ.
  heldBack: (variant) => {
    const { norm, up: kind } = forms[variant]!;
    return norm !== "batch" || kind === "subpixel" ? /it is not constant there/ : undefined;
  },
};
