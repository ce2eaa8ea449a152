import { randomGenerator } from "@dgate/core";
import { Graph, int, ints, tensorOf, type Value, writeModel } from "@dgate/onnx";

/** Writes the nodes of a graph with drawn weights. */
class Writer {
  readonly graph = new Graph("example");
  readonly #random = randomGenerator(7);

  #weights(name: string, shape: readonly number[], deviation: number): Value {
    const size = shape.reduce((a, b) => a * b, 1);
    const values = Float32Array.from({ length: size }, () => deviation * this.#random.normal());
    return this.graph.addInitializer(name, tensorOf("float32", shape, values));
  }

  convolution(x: Value, name: string, from: number, to: number): Value {
    const kernel = this.#weights(`${name}.weight`, [to, from, 3, 3], Math.sqrt(2 / (9 * from)));
    const bias = this.#weights(`${name}.bias`, [to], 0.1);
    const attributes = { pads: ints([1, 1, 1, 1]) };
    const [out] = this.graph.addNode({ op: "Conv", name, inputs: [x, kernel, bias], attributes }).outputs;
    return this.graph.addNode({ op: "Relu", inputs: [out!] }).outputs[0]!;
  }

  pool(x: Value): Value {
    const attributes = { kernel_shape: ints([2, 2]), strides: ints([2, 2]) };
    return this.graph.addNode({ op: "MaxPool", inputs: [x], attributes }).outputs[0]!;
  }

  flatten(x: Value): Value {
    return this.graph.addNode({ op: "Flatten", inputs: [x], attributes: { axis: int(1) } }).outputs[0]!;
  }

  dense(x: Value, name: string, from: number, to: number, outputs?: Value): Value {
    const weight = this.#weights(`${name}.weight`, [from, to], Math.sqrt(2 / from));
    const bias = this.#weights(`${name}.bias`, [to], 0.1);
    return this.graph.addNode({
      op: "Gemm",
      name,
      inputs: [x, weight, bias],
      ...(outputs && { outputs: [outputs] }),
    }).outputs[0]!;
  }

  relu(x: Value): Value {
    return this.graph.addNode({ op: "Relu", inputs: [x] }).outputs[0]!;
  }
}

/** A convolutional network for 32 × 32 colour images with drawn weights, for those who have no model at hand: its speed is true, its answers mean nothing. */
export function exampleModel(): Uint8Array<ArrayBuffer> {
  const writer = new Writer();
  const { graph } = writer;
  const image = graph.addInput("image", { dtype: "float32", shape: ["batch", 3, 32, 32] });
  const a = writer.pool(writer.convolution(writer.convolution(image, "conv1", 3, 32), "conv2", 32, 32));
  const b = writer.pool(writer.convolution(writer.convolution(a, "conv3", 32, 64), "conv4", 64, 64));
  const hidden = writer.relu(writer.dense(writer.flatten(b), "hidden", 64 * 8 * 8, 128));
  const logits = graph.addValue("logits", { dtype: "float32", shape: ["batch", 10] });
  writer.dense(hidden, "output", 128, 10, logits);
  graph.addOutput(logits);
  return writeModel(graph);
}
