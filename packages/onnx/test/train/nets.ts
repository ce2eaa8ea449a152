import { randomGenerator } from "@dgate/core";
import type { Batch, Graph } from "@dgate/onnx";
import { GraphBuilder } from "../graph-builder.ts";

/** 8 features, two hidden layers of 16 and 12 neurons, 3 classes: `x [batch, 8]` to `logits [batch, 3]`. */
export function mlp(seed = 1): Graph {
  const net = new GraphBuilder(seed, 18);
  const x = net.input("x", ["batch", 8]);
  const a = net.op("Tanh", [net.gemm("fc1", x, [8, 16])]);
  const b = net.op("Relu", [net.gemm("fc2", a, [16, 12])]);
  const logits = net.gemm("out", b, [12, 3]);
  net.graph.rename(logits, "logits");
  return net.output(logits);
}

/** A language model that sees one token: `input_ids [batch, positions]` to `logits [batch, positions, 7]`. */
export function bigram(seed = 1): Graph {
  const net = new GraphBuilder(seed, 18);
  const ids = net.input("input_ids", ["batch", "positions"], "int64");
  const x = net.op("Gather", [net.weight("embedding", [7, 6]), ids]);
  const h = net.op("Tanh", [net.matmul("up", x, [6, 10])]);
  const logits = net.matmul("down", h, [10, 7]);
  net.graph.rename(logits, "logits");
  return net.output(logits);
}

/** A model that gives a loss itself: `x [batch, 8]` to the mean of squares, `loss [1, 1]`. */
export function summed(seed = 2): Graph {
  const net = new GraphBuilder(seed, 18);
  const h = net.op("Tanh", [net.gemm("fc", net.input("x", ["batch", 8]), [8, 10])]);
  const y = net.op("Sigmoid", [net.gemm("out", h, [10, 3])]);
  const loss = net.op("ReduceMean", [net.op("Mul", [y, y])]);
  net.graph.rename(loss, "loss");
  return net.output(loss);
}

/** Standard normal numbers as float32 holds them. */
export function normals(seed: number, count: number): Float32Array {
  const random = randomGenerator(seed);
  return Float32Array.from({ length: count }, () => random.normal());
}

/** Batches whose class follows from the first two features. */
export function* classBatches(
  count: number,
  { rows = 32, seed = 7 }: { readonly rows?: number; readonly seed?: number } = {},
): Generator<Batch, void, undefined> {
  for (let i = 0; i < count; i++) {
    const x = normals(seed + 1000 * i, rows * 8);
    const labels = Array.from({ length: rows }, (_, r) => (x[r * 8]! > 0 ? 1 : x[r * 8 + 1]! > 0 ? 2 : 0));
    yield { x: { data: x, shape: [rows, 8] }, labels: { data: labels, shape: [rows] } };
  }
}
