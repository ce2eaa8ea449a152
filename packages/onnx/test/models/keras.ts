import { type Graph, int, string, tensorOf, type Value } from "@dgate/onnx";
import type { Family } from "./family.ts";
import { convMacs, NetBuilder } from "./net-builder.ts";

interface Form {
  readonly opset: number;
  /** Inner transposes as tf2onnx writes them before it optimises, or only at the image and the features. */
  readonly transposes: "everywhere" | "ends";
  readonly scale: "BatchNormalization" | "MulAdd" | "none";
  readonly head: "flatten" | "average";
}

const forms: Readonly<Record<string, Form>> = {
  "opset 11, transposes everywhere": {
    opset: 11,
    transposes: "everywhere",
    scale: "BatchNormalization",
    head: "flatten",
  },
  "opset 13, Mul and Add": { opset: 13, transposes: "ends", scale: "MulAdd", head: "average" },
  "opset 17, folded": { opset: 17, transposes: "ends", scale: "none", head: "flatten" },
  "opset 18, transposes everywhere": {
    opset: 18,
    transposes: "everywhere",
    scale: "MulAdd",
    head: "average",
  },
};

/** A layer whose data is `[batch, height, width, channels]`. */
function channelsLast(net: NetBuilder, x: Value, form: Form, layer: (y: Value) => Value): Value {
  if (form.transposes === "ends") return layer(x);
  return net.transpose(layer(net.transpose(x, [0, 3, 1, 2])), [0, 2, 3, 1]);
}

function normalise(net: NetBuilder, name: string, x: Value, channels: number, { scale }: Form): Value {
  if (scale === "none") return x;
  if (scale === "BatchNormalization") return net.batchNorm(`${name}/bn`, x, channels);
  const scaled = net.op("Mul", [x, net.weight(`${name}/scale`, [1, channels, 1, 1], 0.3, 1)]);
  return net.op("Add", [scaled, net.weight(`${name}/shift`, [1, channels, 1, 1])]);
}

function conv(
  net: NetBuilder,
  name: string,
  x: Value,
  widths: readonly [number, number],
  form: Form,
  options: { stride?: number; kernel?: number; group?: number; explicitPad?: boolean } = {},
): Value {
  const { stride = 1, kernel = 3, group = 1, explicitPad = false } = options;
  return channelsLast(net, x, form, (y) => {
    // ZeroPadding2D(((0, 1), (0, 1))) before a strided VALID convolution.
    const padded = explicitPad ? net.op("Pad", [y, net.integers("pads", [0, 0, 0, 0, 0, 0, 1, 1])]) : y;
    const filtered = net.conv(name, padded, widths, {
      kernel: [kernel, kernel],
      strides: [stride, stride],
      autoPad: explicitPad ? "VALID" : "SAME_UPPER",
      group,
      bias: form.scale === "none",
    });
    return net.op("Relu", [normalise(net, name, filtered, widths[1], form)]);
  });
}

function separable(
  net: NetBuilder,
  name: string,
  x: Value,
  [from, to]: readonly [number, number],
  form: Form,
): Value {
  const depthwise = conv(net, `${name}/dw`, x, [from, from], form, { group: from });
  return conv(net, `${name}/pw`, depthwise, [from, to], form, { kernel: 1 });
}

function kerasGraph(width: number, form: Form): Graph {
  const net = new NetBuilder({ opset: form.opset });
  const image = net.input("image", ["unk__1", 16, 16, 3]);
  const start = form.transposes === "ends" ? net.transpose(image, [0, 3, 1, 2]) : image;
  const a = conv(net, "conv1", start, [3, width], form, { stride: 2, explicitPad: true });
  const b = separable(net, "separable", a, [width, 2 * width], form);
  const pooled = channelsLast(net, b, form, (y) =>
    net.op("MaxPool", [y], {
      kernel_shape: { kind: "ints", value: [2, 2] },
      strides: { kind: "ints", value: [2, 2] },
      auto_pad: string("SAME_UPPER"),
    }),
  );
  const c = net.op("Add", [conv(net, "conv2", pooled, [2 * width, 2 * width], form), pooled]);
  const y = dense(net, features(net, c, 2 * width, form), form.head === "flatten" ? 32 * width : 2 * width);
  const probabilities = net.op("Softmax", [y], { axis: int(-1) }, "softmax");
  net.graph.rename(probabilities, "probabilities");
  return net.output(probabilities);
}

/** Flatten in channels-last order, or the average over positions. */
function features(net: NetBuilder, x: Value, channels: number, form: Form): Value {
  const last = form.transposes === "everywhere";
  if (form.head === "average") return net.reduceMean(x, last ? [1, 2] : [2, 3], false);
  return net.reshape(last ? x : net.transpose(x, [0, 2, 3, 1]), [-1, 16 * channels], "flatten");
}

function dense(net: NetBuilder, x: Value, width: number): Value {
  const w = net.graph.addInitializer(
    "dense/kernel",
    tensorOf(
      "float32",
      [width, 10],
      Array.from({ length: width * 10 }, (_, i) => Math.sin(i)),
    ),
  );
  const product = net.op("MatMul", [x, w], {}, "dense");
  return net.op("Add", [product, net.weight("dense/bias", [10])]);
}

/** A Keras CNN as tf2onnx writes it: SAME padding, a Pad node, channels last at the ends, MatMul and Add for Dense. */
export const keras: Family = {
  name: "Keras CNN",
  width: 8,
  variants: Object.keys(forms),
  build: (width, variant) => kerasGraph(width, forms[variant]!),
  macs: (w, variant) =>
    convMacs(3, w, 3, 8) +
    convMacs(w, w, 3, 8, w) +
    convMacs(w, 2 * w, 1, 8) +
    convMacs(2 * w, 2 * w, 3, 4) +
    (forms[variant]!.head === "flatten" ? 16 : 1) * 2 * w * 10,
  prunable: () => ({ sites: 4, channels: 2 }),
  blocked: () => ({ 'Softmax "softmax" normalises over this axis': ["dense.neurons"] }),
};
