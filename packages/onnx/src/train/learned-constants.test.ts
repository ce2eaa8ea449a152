import { type Graph, int, tensorOf, type Value } from "@dgate/onnx";
import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { fusedBert } from "../../test/models/fused-encoder.ts";
import { fusedDecoder } from "../../test/models/fused-decoder.ts";
import { swin } from "../../test/models/swin.ts";
import { trainingForm } from "../training-form/training-form.ts";
import { learnedConstants } from "./learned-constants.ts";

const learnedOf = (graph: Graph): string[] =>
  learnedConstants(trainingForm(graph))
    .map(({ name }) => name)
    .sort();

const weightsOf = (graph: Graph, except: readonly string[] = []): string[] =>
  graph.initializers
    .filter(({ name, data }) => data!.dtype === "float32" && data!.shape.length > 0 && !except.includes(name))
    .map(({ name }) => name)
    .sort();

/** Cosines and sines of rotary positions, `[8, 4]`, times a scale. */
function angles(net: GraphBuilder, scale = 1): readonly [Value, Value] {
  const table = (name: string, f: (x: number) => number): Value => {
    const numbers = Array.from({ length: 32 }, (_, i) => scale * f(Math.floor(i / 4) * 10 ** (-(i % 4) / 4)));
    return net.graph.addInitializer(name, tensorOf("float32", [8, 4], numbers));
  };
  return [table("cosines", Math.cos), table("sines", Math.sin)];
}

/** Turns `x [batch, 8, 4]`; `rows` takes what is needed of a table. */
function turned(net: GraphBuilder, rows: (table: Value) => Value, scale?: number): Graph {
  const x = net.matmul("q", net.input("x", ["batch", 8, 4]), [4, 4]);
  const [cos, sin] = angles(net, scale).map(rows);
  return net.output(net.op("Add", [net.op("Mul", [x, cos]), net.op("Mul", [net.op("Neg", [x]), sin])]));
}

test("tables of cosines and sines are not learned, whichever way they are read", () => {
  const ways: ((net: GraphBuilder) => (table: Value) => Value)[] = [
    (net) => {
      const at = net.input("positions", ["batch", 8], "int64");
      return (table) => net.op("Gather", [table, at]);
    },
    (net) => (table) =>
      net.op("Slice", [table, net.integers("from", [0]), net.integers("to", [8]), net.integers("axis", [0])]),
    () => (table) => table,
  ];
  for (const way of ways) {
    for (const scale of [1, 1.3]) {
      const net = new GraphBuilder(1, 18);
      expect(learnedOf(turned(net, way(net), scale))).toEqual(["q/bias", "q/kernel"]);
    }
  }
});

test("a table with sines and cosines side by side is not learned", () => {
  const net = new GraphBuilder(1, 18);
  const [cos, sin] = angles(net).map(({ data }) => new Float32Array(new Uint8Array(data!.bytes).buffer));
  const both = Array.from({ length: 8 }, (_, r) => [
    ...sin!.slice(4 * r, 4 * r + 4),
    ...cos!.slice(4 * r, 4 * r + 4),
  ]);
  const table = net.graph.addInitializer("sinusoids", tensorOf("float32", [8, 8], both.flat()));
  const x = net.op("Gather", [net.weight("embedding", [5, 8]), net.input("ids", ["batch", 8], "int64")]);
  expect(learnedOf(net.output(net.op("Add", [x, table])))).toEqual(["embedding"]);
});

test("learnt positions, scaled embeddings and constant rows are learned", () => {
  const net = new GraphBuilder(1, 18);
  const ids = net.input("ids", ["batch", 8], "int64");
  const scale = net.graph.addInitializer("scale", tensorOf("float32", [], [3]));
  const words = net.op("Mul", [net.op("Gather", [net.weight("words", [5, 8], 0.1), ids]), scale]);
  const placed = net.op("Add", [words, net.weight("places", [8, 8], 0.02)]);
  const ones = net.graph.addInitializer("ones", tensorOf("float32", [8, 8], new Float32Array(64).fill(1)));
  const more = net.graph.addInitializer("more", tensorOf("float32", [8, 8], new Float32Array(64).fill(1)));
  const graph = net.output(net.op("Mul", [net.op("Mul", [placed, ones]), more]));
  expect(learnedOf(graph)).toEqual(["more", "ones", "places", "words"]);
});

test("all weights of fused models are learned but the rotary tables", () => {
  const bert = fusedBert();
  expect(learnedOf(bert)).toEqual(weightsOf(bert));
  for (const packed of [false, true]) {
    const { graph } = fusedDecoder({ rotary: true, packed, sink: true, scoreBias: true, caches: false });
    expect(learnedOf(graph)).toEqual(weightsOf(graph, ["cos_cache", "sin_cache"]));
  }
});

test("weights of images are learned; running statistics and single numbers are not", () => {
  const net = new GraphBuilder(1, 18);
  const x = net.batchNorm("bn", net.conv("conv", net.input("x", ["batch", 2, 8, 8]), [2, 4]), 4);
  const y = net.op("PRelu", [net.convTranspose("up", x, [4, 3]), net.weight("slopes", [3, 1, 1])]);
  const low = net.graph.addInitializer("low", tensorOf("float32", [], [-1]));
  const pooled = net.op("Flatten", [net.op("GlobalAveragePool", [net.op("Clip", [y, low])])], {
    axis: int(1),
  });
  const graph = net.output(net.gemm("fc", pooled, [3, 2], { transB: true }));
  expect(learnedOf(graph)).toEqual(weightsOf(graph, ["bn/mean", "bn/variance"]));
});

/** Elements of a matrix `[4, 4]` above its diagonal, and the others. */
const causal =
  (above: number, rest: number) =>
  (_: unknown, i: number): number =>
    i % 4 > Math.floor(i / 4) ? above : rest;

test("masks are not learned, whether they are added or multiplied", () => {
  for (const [op, low, high] of [
    ["Add", -1e4, 0],
    ["Add", -100, 0],
    ["Add", Number.NEGATIVE_INFINITY, 0],
    ["Add", -3.4028234663852886e38, 0],
    ["Mul", 0, 1],
  ] as const) {
    const net = new GraphBuilder(1, 18);
    const scores = net.matmul("q", net.input("x", ["batch", 4, 4]), [4, 4], false);
    const mask = net.graph.addInitializer(
      "mask",
      tensorOf("float32", [4, 4], Array.from({ length: 16 }, causal(low, high))),
    );
    expect(learnedOf(net.output(net.op("Softmax", [net.op(op, [scores, mask])])))).toEqual(["q/kernel"]);
  }
});

test("biases of zeros and scales of ones are learned", () => {
  const net = new GraphBuilder(1, 18);
  const filled = (name: string, value: number): Value =>
    net.graph.addInitializer(name, tensorOf("float32", [4], [value, value, value, value]));
  const x = net.op("Mul", [net.input("x", ["batch", 4]), filled("scale", 1)]);
  expect(learnedOf(net.output(net.op("Add", [x, filled("bias", 0)])))).toEqual(["bias", "scale"]);
});

test("of a Swin transformer all is learned but the masks of its windows", () => {
  const { graph } = swin();
  const found = learnedOf(graph);
  const left = weightsOf(graph).filter((name) => !found.includes(name));
  expect(left.filter((name) => /^[a-z]+\./.test(name))).toEqual(["swin.encoder.layers.0.blocks.1.attn_mask"]);
});
