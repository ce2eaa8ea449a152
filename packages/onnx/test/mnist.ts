import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { randomGenerator } from "@dgate/core";
import { Graph, numbersOf, openRunner, tensorOf, type Value } from "@dgate/onnx";
import type { Batch } from "@dgate/onnx/train";
import { dataFolder } from "./files.ts";

/** Pixels of an image of 28 × 28. */
const pixels = 784;

/** Images with their classes. */
interface Digits {
  /** `[count, 784]`, grey from 0 to 255. */
  readonly images: Uint8Array;
  readonly labels: Uint8Array;
}

/** MNIST's training and test set; undefined, with a printed line, if the files are not there. */
export function readMnist(
  data: string = dataFolder,
): { readonly train: Digits; readonly test: Digits } | undefined {
  const folder = join(data, "mnist");
  if (!existsSync(join(folder, "train-images-idx3-ubyte.gz"))) {
    console.warn(`skipped: ${folder} has no MNIST; set DGATE_DATA`);
    return undefined;
  }
  return { train: readDigits(folder, "train"), test: readDigits(folder, "t10k") };
}

function readDigits(folder: string, part: string): Digits {
  const bytes = (kind: string): Uint8Array =>
    gunzipSync(readFileSync(join(folder, `${part}-${kind}-ubyte.gz`)));
  // Headers of idx files: 4 bytes, and 4 for each axis.
  return { images: bytes("images-idx3").subarray(16), labels: bytes("labels-idx1").subarray(8) };
}

/** The first so many. */
export const firstDigits = ({ images, labels }: Digits, count: number): Digits => ({
  images: images.subarray(0, count * pixels),
  labels: labels.subarray(0, count),
});

/**
 * LeNet-300-100 before training: `x [batch, 784]` to `logits [batch, 10]`. Kernels are uniform in ±1/√inputs, the usual start of it in the pruning
 * literature, biases 0.
 */
export function lenet(seed: number): Graph {
  const graph = new Graph("lenet-300-100", [["", 18]]);
  const random = randomGenerator(seed);
  const dense = (name: string, x: Value, inputs: number, outputs: number): Value => {
    const bound = 1 / Math.sqrt(inputs);
    const numbers = Array.from({ length: inputs * outputs }, () => bound * (2 * random.next() - 1));
    const kernel = graph.addInitializer(`${name}.kernel`, tensorOf("float32", [inputs, outputs], numbers));
    const bias = graph.addInitializer(
      `${name}.bias`,
      tensorOf("float32", [outputs], new Float32Array(outputs)),
    );
    return graph.addNode({ op: "Gemm", inputs: [x, kernel, bias], name }).outputs[0]!;
  };
  const relu = (x: Value): Value => graph.addNode({ op: "Relu", inputs: [x] }).outputs[0]!;
  const x = graph.addInput("x", { dtype: "float32", shape: ["batch", pixels] });
  const hidden = relu(dense("hidden2", relu(dense("hidden1", x, pixels, 300)), 300, 100));
  const logits = dense("output", hidden, 100, 10);
  graph.rename(logits, "logits");
  graph.addOutput(logits);
  return graph;
}

/** Rows of the given numbers with pixels in [0, 1], and their `labels`. */
function digitBatch({ images, labels }: Digits, rows: ArrayLike<number>): Batch {
  const data = new Float32Array(rows.length * pixels);
  const classes = Array.from(rows, (row, i) => {
    for (let p = 0; p < pixels; p++) data[i * pixels + p] = images[row * pixels + p]! / 255;
    return labels[row]!;
  });
  return { x: { data, shape: [rows.length, pixels] }, labels: { data: classes, shape: [rows.length] } };
}

/** Steps of one epoch of `digitBatches`. */
export const stepsPerEpoch = ({ labels }: Digits, batch: number): number => Math.ceil(labels.length / batch);

/** Every image once in each epoch, in an order that the seed decides. */
export function* digitBatches(
  digits: Digits,
  { batch, epochs, seed }: { readonly batch: number; readonly epochs: number; readonly seed: number },
): Generator<Batch, void, undefined> {
  const random = randomGenerator(seed);
  const order = Int32Array.from(digits.labels, (_, i) => i);
  for (let epoch = 0; epoch < epochs; epoch++) {
    random.shuffle(order);
    for (let at = 0; at < order.length; at += batch) yield digitBatch(digits, order.subarray(at, at + batch));
  }
}

/** Fraction of images that a model takes for what they are, in onnxruntime. */
export async function accuracyOf(graph: Graph, digits: Digits): Promise<number> {
  const runner = await openRunner(graph);
  const count = digits.labels.length;
  let right = 0;
  for (let at = 0; at < count; at += 1000) {
    const rows = Array.from({ length: Math.min(1000, count - at) }, (_, i) => at + i);
    const { x } = digitBatch(digits, rows);
    const logits = numbersOf((await runner.run({ x: x! }))["logits"]!);
    for (const row of rows) {
      const scores = logits.subarray((row - at) * 10, (row - at + 1) * 10);
      if (scores.indexOf(Math.max(...scores)) === digits.labels[row]) right += 1;
    }
  }
  await runner.dispose();
  return right / count;
}
