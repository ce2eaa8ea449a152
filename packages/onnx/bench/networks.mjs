// Networks of ordinary size for the benchmarks, with random weights: an MLP, a CNN and a transformer encoder.
import { float, Graph, int, ints, tensorOf } from "@dgate/onnx";
import { randomGenerator } from "@dgate/core";

/** Adds layers with random weights of unit gain. */
class Builder {
  constructor(name) {
    this.graph = new Graph(name, [["", 17]]);
    this.random = randomGenerator(1);
  }

  weight(name, shape, fan) {
    const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => this.random.normal());
    return this.graph.addInitializer(
      name,
      tensorOf(
        "float32",
        shape,
        data.map((x) => x / Math.sqrt(fan)),
      ),
    );
  }

  op(op, inputs, attributes = {}, name = "") {
    return this.graph.addNode({ op, inputs, attributes, name }).outputs[0];
  }

  integers(name, values) {
    return this.graph.addInitializer(this.graph.freshName(name), tensorOf("int64", [values.length], values));
  }

  dense(name, x, inputs, outputs) {
    const product = this.op(
      "MatMul",
      [x, this.weight(`${name}.weight`, [inputs, outputs], inputs)],
      {},
      name,
    );
    return this.op("Add", [product, this.weight(`${name}.bias`, [outputs], 100)]);
  }

  conv(name, x, channels, filters) {
    const weight = this.weight(`${name}.weight`, [filters, channels, 3, 3], 9 * channels);
    const attributes = { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) };
    return this.op("Conv", [x, weight, this.weight(`${name}.bias`, [filters], 100)], attributes, name);
  }

  norm(name, x, width) {
    const [scale, bias] = ["scale", "bias"].map((part) => this.weight(`${name}.${part}`, [width], 1));
    return this.op("LayerNormalization", [x, scale, bias], { axis: int(-1), epsilon: float(1e-5) });
  }

  finish(output) {
    this.graph.addOutput(output);
    return this.graph;
  }
}

/** 784 → 1024 → 1024 → 1024 → 10. */
export function mlp() {
  const net = new Builder("mlp");
  let x = net.graph.addInput("x", { dtype: "float32", shape: ["batch", 784] });
  for (const [i, inputs] of [784, 1024, 1024].entries()) {
    x = net.op("Relu", [net.dense(`fc${i + 1}`, x, inputs, 1024)]);
  }
  return net.finish(net.dense("out", x, 1024, 10));
}

/** Six 3 × 3 convolutions of 64 and 128 channels over 32 × 32 pixels, two poolings, a linear head. */
export function cnn() {
  const net = new Builder("cnn");
  let x = net.graph.addInput("x", { dtype: "float32", shape: ["batch", 3, 32, 32] });
  let channels = 3;
  for (const [i, filters] of [64, 64, 128, 128, 128, 128].entries()) {
    x = net.op("Relu", [net.conv(`conv${i + 1}`, x, channels, filters)]);
    if (i % 2 === 1) x = net.op("MaxPool", [x], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) });
    channels = filters;
  }
  const pooled = net.op("Flatten", [net.op("GlobalAveragePool", [x])]);
  return net.finish(net.dense("out", pooled, channels, 10));
}

/**
 * Encoder over 64 positions with heads of 32, a feed-forward layer four times as wide, GELU. It takes vectors `x`, or with a
 * vocabulary token ids, which it looks up in a table.
 */
export function transformer({ layers = 4, width = 384, positions = 64, vocabulary } = {}) {
  const [heads, dim, inner] = [width / 32, 32, 4 * width];
  const net = new Builder("transformer");
  const taken = vocabulary
    ? { dtype: "int64", shape: ["batch", positions] }
    : { dtype: "float32", shape: ["batch", positions, width] };
  let x = net.graph.addInput("x", taken);
  if (vocabulary)
    x = net.op("Gather", [net.weight("embeddings", [vocabulary, width], 1), x], {}, "embeddings");
  const split = (name, value, perm) => {
    const shape = net.integers("heads", [0, 0, heads, dim]);
    return net.op("Transpose", [net.op("Reshape", [net.dense(name, value, width, width), shape])], {
      perm: ints(perm),
    });
  };
  const scale = net.graph.addInitializer("scale", tensorOf("float32", [], [1 / Math.sqrt(dim)]));
  const half = net.graph.addInitializer("half", tensorOf("float32", [], [0.5]));
  const one = net.graph.addInitializer("one", tensorOf("float32", [], [1]));
  const root = net.graph.addInitializer("root", tensorOf("float32", [], [Math.SQRT2]));
  for (let i = 0; i < layers; i++) {
    const name = `layer${i}`;
    const y = net.norm(`${name}/norm1`, x, width);
    const [q, v] = [split(`${name}/q`, y, [0, 2, 1, 3]), split(`${name}/v`, y, [0, 2, 1, 3])];
    const k = split(`${name}/k`, y, [0, 2, 3, 1]);
    const scores = net.op("Mul", [net.op("MatMul", [q, k], {}, `${name}/attention/qk`), scale]);
    const attention = net.op("Softmax", [scores], { axis: int(-1) }, `${name}/attention/softmax`);
    const context = net.op("MatMul", [attention, v], {}, `${name}/attention/av`);
    const turned = net.op("Transpose", [context], { perm: ints([0, 2, 1, 3]) });
    const merged = net.op("Reshape", [turned, net.integers("merge", [0, 0, width])]);
    x = net.op("Add", [x, net.dense(`${name}/o`, merged, width, width)]);
    const hidden = net.dense(`${name}/up`, net.norm(`${name}/norm2`, x, width), width, inner);
    const gate = net.op("Add", [net.op("Erf", [net.op("Div", [hidden, root])]), one]);
    const active = net.op("Mul", [net.op("Mul", [hidden, gate]), half]);
    x = net.op("Add", [x, net.dense(`${name}/down`, active, inner, width)]);
  }
  return net.finish(net.norm("norm", x, width));
}
