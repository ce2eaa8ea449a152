import { type Graph, type Value } from "@dgate/onnx";
import { GraphBuilder } from "../graph-builder.ts";

/** Sizes of `attentionNet`. */
export interface AttentionSizes {
  readonly width: number;
  readonly heads: number;
  readonly headDim: number;
  readonly neurons: number;
}

/** Gemm and MatMul layers: `[batch, inputs]` through `widths`, the last of which are the outputs. */
export function denseNet(seed: number, inputs: number, widths: readonly number[], rank: 2 | 3 = 2): Graph {
  const net = new GraphBuilder(seed, 21);
  let x = net.input("x", rank === 2 ? ["batch", inputs] : ["batch", 3, inputs]);
  let width = inputs;
  widths.forEach((next, i) => {
    const name = `fc${i + 1}`;
    const layer =
      rank === 2
        ? net.gemm(name, x, [width, next], { transB: i % 2 === 1 })
        : net.matmul(name, x, [width, next]);
    x = i === widths.length - 1 ? layer : net.op("Relu", [layer]);
    width = next;
  });
  return net.output(x);
}

/** Convolutions with padding, a depthwise one, a residual sum, pooling, a dense head. */
export function convNet(seed: number, { channels = 8, activation = "Relu", depthwise = true } = {}): Graph {
  const net = new GraphBuilder(seed, 21);
  const pads = [1, 1, 1, 1];
  const act = (x: Value): Value => net.op(activation, [x]);
  let x = act(net.conv("stem", net.input("x", ["batch", 3, 8, 8]), [3, channels], { pads }));
  if (depthwise) x = act(net.conv("depthwise", x, [channels, channels], { pads, group: channels }));
  const inner = act(net.conv("inner", x, [channels, channels + 4], { pads }));
  const branch = net.conv("branch", inner, [channels + 4, channels], { kernel: [1, 1] });
  const sum = act(net.op("Add", [x, branch]));
  const pooled = net.op("Flatten", [net.op("GlobalAveragePool", [sum])]);
  return net.output(net.gemm("head", pooled, [channels, 5]));
}

/** One transformer block without normalisation: Q, K and V read one value; heads and FFN neurons can go. */
export function attentionNet(seed: number, { width, heads, headDim, neurons }: AttentionSizes): Graph {
  const net = new GraphBuilder(seed, 21);
  const x = net.input("x", ["batch", 5, width]);
  const inner = heads * headDim;
  const split = (name: string, perm: readonly number[]): Value => {
    const projected = net.matmul(`attention/${name}`, x, [width, inner]);
    return net.transpose(net.reshape(projected, [0, 0, heads, headDim], `${name}/split`), perm);
  };
  const scores = net.op(
    "MatMul",
    [split("query", [0, 2, 1, 3]), split("key", [0, 2, 3, 1])],
    {},
    "attention/scores",
  );
  const scale = net.weight("attention/scale", [], 0, Math.sqrt(headDim));
  const weights = net.op("Softmax", [net.op("Div", [scores, scale])], {}, "attention/softmax");
  const mixed = net.op("MatMul", [weights, split("value", [0, 2, 1, 3])], {}, "attention/context");
  const context = net.reshape(net.transpose(mixed, [0, 2, 1, 3]), [0, 0, inner], "merge");
  const attended = net.op("Add", [x, net.matmul("attention/output", context, [inner, width])]);
  const hidden = net.op("Relu", [net.matmul("ffn/up", attended, [width, neurons])]);
  return net.output(net.op("Add", [attended, net.matmul("ffn/down", hidden, [neurons, width])]));
}

/** A residual stream that is divided by its root mean square before every layer that reads it. */
export function rmsNet(seed: number, width: number, neurons: number): Graph {
  const net = new GraphBuilder(seed, 21);
  const rms = (name: string, x: Value): Value => {
    const mean = net.op("ReduceMean", [net.op("Mul", [x, x]), net.integers("axes", [-1])]);
    const root = net.op("Sqrt", [net.op("Add", [mean, net.weight(`${name}/epsilon`, [], 0, 1e-5)])]);
    return net.op("Mul", [net.op("Div", [x, root]), net.weight(`${name}/gamma`, [width], 0.3, 1)]);
  };
  const x = net.matmul("embed", net.input("x", ["batch", 5, 16]), [16, width]);
  const hidden = net.op("Relu", [net.matmul("up", rms("first", x), [width, neurons])]);
  const stream = net.op("Add", [x, net.matmul("down", hidden, [neurons, width])]);
  return net.output(net.matmul("head", rms("last", stream), [width, 4]));
}
