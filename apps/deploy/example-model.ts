import { Graph, int, ints, type Value, writeModel } from "@dgate/onnx";
import { GraphWriter } from "../ui/graph-writer.ts";

function convolution(writer: GraphWriter, x: Value, name: string, from: number, to: number): Value {
  const kernel = writer.weight(`${name}.weight`, [to, from, 3, 3], Math.sqrt(2 / (9 * from)));
  const bias = writer.weight(`${name}.bias`, [to], 0.1);
  return relu(writer, writer.op(name, "Conv", [x, kernel, bias], { pads: ints([1, 1, 1, 1]) }), name);
}

const relu = (writer: GraphWriter, x: Value, name: string): Value => writer.op(`${name}.relu`, "Relu", [x]);

const pool = (writer: GraphWriter, x: Value, name: string): Value =>
  writer.op(name, "MaxPool", [x], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) });

interface DenseSizes {
  readonly from: number;
  readonly to: number;
}

function dense(writer: GraphWriter, x: Value, name: string, { from, to }: DenseSizes, output?: Value): Value {
  const weight = writer.weight(`${name}.weight`, [from, to], Math.sqrt(2 / from));
  const bias = writer.weight(`${name}.bias`, [to], 0.1);
  return writer.op(name, "Gemm", [x, weight, bias], {}, output);
}

/** A convolutional network for 32 × 32 colour images with drawn weights, for those who have no model at hand: its speed is true, its answers mean nothing. */
export function exampleModel(): Uint8Array<ArrayBuffer> {
  const writer = new GraphWriter(new Graph("example"), 7);
  const { graph } = writer;
  const image = graph.addInput("image", { dtype: "float32", shape: ["batch", 3, 32, 32] });
  const wide = convolution(writer, convolution(writer, image, "conv1", 3, 32), "conv2", 32, 32);
  const half = pool(writer, wide, "pool1");
  const deep = convolution(writer, convolution(writer, half, "conv3", 32, 64), "conv4", 64, 64);
  const flat = writer.op("flatten", "Flatten", [pool(writer, deep, "pool2")], { axis: int(1) });
  const hidden = relu(writer, dense(writer, flat, "hidden", { from: 64 * 8 * 8, to: 128 }), "hidden");
  const logits = graph.addValue("logits", { dtype: "float32", shape: ["batch", 10] });
  dense(writer, hidden, "output", { from: 128, to: 10 }, logits);
  graph.addOutput(logits);
  return writeModel(graph);
}
