import { gpt2 } from "../../test/models/gpt2.ts";
import { expect, test } from "vitest";
import { bert } from "../../test/bert.ts";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { int, string } from "../graph/attribute.ts";
import { countCosts } from "./count-costs.ts";

test("an MLP of 784, 300, 100 and 10 has the counts done by hand", () => {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 784]);
  const h1 = net.op("Relu", [net.gemm("fc1", x, [784, 300])]);
  const h2 = net.op("Relu", [net.gemm("fc2", h1, [300, 100], { transB: true })]);
  const graph = net.output(net.gemm("fc3", h2, [100, 10]));
  const cost = countCosts(graph);
  expect(cost.macs).toBe(784 * 300 + 300 * 100 + 100 * 10);
  expect(cost.parameters).toBe(784 * 300 + 300 + 300 * 100 + 100 + 100 * 10 + 10);
  expect(cost.bytes).toBe(4 * cost.parameters);
  expect(cost.assumed).toEqual(["batch"]);
  expect(countCosts(graph, { batch: 7 }).macs).toBe(7 * cost.macs);
  expect(cost.layers.find(({ layer }) => layer === "fc2")).toEqual({
    layer: "fc2",
    op: "Gemm",
    parameters: 30_100,
    macs: 30_000,
  });
});

test("plain, strided, grouped and depthwise convolutions have the counts done by hand", () => {
  const net = new GraphBuilder();
  const x = net.input("x", [1, 3, 16, 16]);
  const plain = net.conv("plain", x, [3, 8]); // 14 × 14
  const strided = net.conv("strided", plain, [8, 12], { strides: [2, 2], pads: [1, 1, 1, 1] }); // 7 × 7
  const grouped = net.conv("grouped", strided, [12, 6], { group: 3, kernel: [1, 1] });
  const depthwise = net.conv("depthwise", grouped, [6, 6], { group: 6, pads: [1, 1, 1, 1], bias: false });
  const up = net.convTranspose("up", depthwise, [6, 4], { strides: [2, 2] });
  const macs = Object.fromEntries(
    countCosts(net.output(up)).layers.map((layer) => [layer.layer, layer.macs]),
  );
  expect(macs).toEqual({
    plain: 14 * 14 * 8 * 3 * 9,
    strided: 7 * 7 * 12 * 8 * 9,
    grouped: 7 * 7 * 6 * 4,
    depthwise: 7 * 7 * 6 * 9,
    // Every input element meets 2 × 2 taps of 4 filters.
    up: 7 * 7 * 6 * 4 * 4,
  });
});

test("shared weights count once, shapes and indices do not count", () => {
  const net = new GraphBuilder();
  const x = net.input("x", [2, 3, 4]);
  const y = net.matmul("a", net.reshape(x, [6, 4]), [4, 4], false);
  const graph = net.output(net.op("MatMul", [y, net.graph.value("a/kernel")!]));
  const cost = countCosts(graph);
  expect(cost.parameters).toBe(16);
  expect(cost.macs).toBe(2 * 6 * 4 * 4);
  expect(cost.bytes).toBe(16 * 4 + 2 * 8);
});

test("a basic block of ResNet has the counts done by hand", () => {
  const net = new GraphBuilder();
  const x = net.input("x", [1, 64, 56, 56]);
  const half = { kernel: [3, 3], strides: [2, 2], pads: [1, 1, 1, 1], bias: false };
  const a = net.op("Relu", [net.batchNorm("bn1", net.conv("conv1", x, [64, 128], half), 128)]);
  const same = { pads: [1, 1, 1, 1], bias: false };
  const b = net.batchNorm("bn2", net.conv("conv2", a, [128, 128], same), 128);
  const skip = net.batchNorm(
    "bn3",
    net.conv("down", x, [64, 128], { kernel: [1, 1], strides: [2, 2], bias: false }),
    128,
  );
  const cost = countCosts(net.output(net.op("Relu", [net.op("Add", [b, skip])])));
  expect(
    Object.fromEntries(cost.layers.filter(({ macs }) => macs > 0).map(({ layer, macs }) => [layer, macs])),
  ).toEqual({
    conv1: 28 * 28 * 128 * 64 * 9,
    conv2: 28 * 28 * 128 * 128 * 9,
    down: 28 * 28 * 128 * 64,
  });
  // Scale, shift, mean and variance of each normalisation.
  expect(cost.parameters).toBe(128 * 64 * 9 + 128 * 128 * 9 + 128 * 64 + 3 * 4 * 128);
  expect(cost.bytes).toBe(4 * cost.parameters);
});

/** Multiply–adds of one BERT block of width 64 with 4 heads and an FFN of 256, and of a classifier of two labels. */
const blockMacs = (sequence: number): number => {
  const dense = 4 * sequence * 64 * 64 + 2 * sequence * 64 * 256;
  const products = 2 * 4 * sequence * sequence * 16; // scores and context, heads of 16 dimensions
  return dense + products + 64 * 2;
};

test("a block of BERT has the counts done by hand, and the attention products grow with the square of the sequence", () => {
  const sizes = { layers: 1, width: 64, heads: 4, ffn: 256, vocabulary: 100, positions: 32, labels: 2 };
  const graph = bert(sizes);
  for (const sequence of [1, 10, 128])
    expect(countCosts(graph, { batch: 3, sequence }).macs).toBe(3 * blockMacs(sequence));
  expect(countCosts(graph).assumed).toEqual(["batch", "sequence"]);
  expect(countCosts(graph).macs).toBe(blockMacs(1));
  const embeddings = 100 * 64;
  const attention = 4 * (64 * 64 + 64);
  const feedForward = 64 * 256 + 256 + 256 * 64 + 64;
  const norms = 3 * 2 * 64;
  expect(countCosts(graph).parameters).toBe(embeddings + attention + feedForward + norms + 64 * 2 + 2);
});

test.each<[string, readonly (readonly number[])[], number]>([
  [
    "bhqd,bhkd->bhqk",
    [
      [2, 3, 5, 4],
      [2, 3, 7, 4],
    ],
    2 * 3 * 5 * 7 * 4,
  ],
  [
    "...qd,...kd->...qk",
    [
      [2, 3, 5, 4],
      [2, 3, 7, 4],
    ],
    2 * 3 * 5 * 7 * 4,
  ],
  [
    "...qd,...kd",
    [
      [2, 3, 5, 4],
      [2, 3, 7, 4],
    ],
    2 * 3 * 5 * 7 * 4,
  ],
  [
    "bsw,whd->bshd",
    [
      [2, 5, 8],
      [8, 3, 4],
    ],
    2 * 5 * 8 * 3 * 4,
  ],
  // From left to right: (i j · j k) and then (i k · k l).
  [
    "ij,jk,kl->il",
    [
      [2, 3],
      [3, 5],
      [5, 7],
    ],
    2 * 3 * 5 + 2 * 5 * 7,
  ],
  // Nothing is summed over: an outer and an element-wise product; then a sum alone.
  ["i,j->ij", [[4], [5]], 0],
  [
    "ij,ij->ij",
    [
      [4, 5],
      [4, 5],
    ],
    0,
  ],
  ["ij->i", [[4, 5]], 0],
  [
    "ij,ij->",
    [
      [4, 5],
      [4, 5],
    ],
    20,
  ],
  // An equation that does not fit.
  [
    "ijk,jk->i",
    [
      [4, 5],
      [4, 5],
    ],
    0,
  ],
])("Einsum %s has the multiply–adds done by hand", (equation, shapes, macs) => {
  const net = new GraphBuilder();
  const inputs = shapes.map((shape, i) => net.input(`x${i}`, shape));
  const graph = net.output(net.op("Einsum", inputs, { equation: string(equation) }));
  expect(countCosts(graph).macs).toBe(macs);
});

test("recurrent layers multiply input and state at every step, in both directions", () => {
  const net = new GraphBuilder();
  const x = net.input("x", [7, 2, 5]); // steps, batch, features
  const weights = [net.weight("w", [2, 4 * 6, 5]), net.weight("r", [2, 4 * 6, 6])];
  const direction = string("bidirectional");
  const y = net.op("LSTM", [x, ...weights], { hidden_size: int(6), direction });
  const cost = countCosts(net.output(y));
  expect(cost.macs).toBe(7 * 2 * 2 * (24 * 5 + 24 * 6));
  expect(cost.parameters).toBe(2 * 24 * (5 + 6));
});

test("a merged decoder costs what its first branch does, and its shared weights once", () => {
  const merged = countCosts(gpt2({ cache: "merged" }).graph);
  const past = countCosts(gpt2({ cache: "past" }).graph);
  expect(merged.macs).toBe(past.macs);
  expect(merged.macs).toBeGreaterThan(0);
  expect(merged.parameters).toBe(past.parameters);
});
