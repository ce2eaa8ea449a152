import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { float, int } from "../graph/attribute.ts";
import type { Value } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { findLayers } from "./find-layers.ts";

/** As if the input channels of "w" had been cut, in a model with the given last layer. */
function find(
  build: (net: GraphBuilder, x: Value, w: Value) => readonly Value[],
  shape: readonly number[] = [4, 3],
) {
  const net = new GraphBuilder(1);
  const x = net.input("x", ["batch", 4]);
  const graph = net.output(...build(net, x, net.weight("w", shape)));
  const axis = shape.indexOf(4);
  return findLayers(graph, graph.clone(), [{ tensor: "w", axis, size: 9, kept: [0, 2, 4, 6] }]);
}

type Build = Parameters<typeof find>[0];

interface Refused {
  readonly what: string;
  readonly build: Build;
  readonly reason: RegExp;
  readonly shape?: readonly number[];
}

const refused: readonly Refused[] = [
  {
    what: "a tied weight",
    build: (net, x, w) => [net.op("MatMul", [x, w]), net.op("MatMul", [x, w])],
    reason: /"w" is tied/,
  },
  {
    what: "a weight on the left",
    build: (net, x, w) => [net.op("MatMul", [w, net.transpose(x, [1, 0])])],
    reason: /on the right/,
    shape: [3, 4],
  },
  {
    what: "a weight that is unpacked",
    build: (net, x, w) => [net.op("MatMul", [x, net.op("Cast", [w], { to: int(1) })])],
    reason: /"\w+" is computed/,
  },
  {
    what: "a Gemm with α = 0",
    build: (net, x, w) => [net.op("Gemm", [x, w], { alpha: float(0) })],
    reason: /α is 0/,
  },
  {
    what: "a bias for each row",
    build: (net, x, w) => [net.op("Gemm", [x, w, net.input("c", ["batch", 3])])],
    reason: /"c" is computed, or differs/,
  },
];

test.each(refused)("$what is skipped with the reason", ({ build, reason, shape }) => {
  const { layers, skipped } = find(build, shape);
  expect(layers).toEqual([]);
  expect(skipped.length).toBeGreaterThan(0);
  for (const each of skipped) expect(each.reason).toMatch(reason);
});

test("a product of computed values has no weight to fit, wherever its operands come from", () => {
  const net = new GraphBuilder(1);
  const table = net.weight("w", [9, 4]);
  const ids = net.input("ids", [5], "int64");
  const rows = net.op("Gather", [table, ids]);
  const graph = net.output(net.op("MatMul", [rows, net.transpose(rows, [1, 0])]));
  const found = findLayers(graph, graph, [{ tensor: "w", axis: 1, size: 8, kept: [0, 1, 2, 3] }]);
  expect(found).toEqual({ layers: [], skipped: [] });
});

test("a quantized weight is skipped with the way out", () => {
  const net = new GraphBuilder(1);
  const x = net.input("x", ["batch", 4]);
  const q = net.graph.addInitializer(
    "w",
    tensorOf(
      "int8",
      [4, 3],
      Array.from({ length: 12 }, (_, i) => i - 6),
    ),
  );
  const scale = net.graph.addInitializer("scale", tensorOf("float32", [], [0.1]));
  const w = net.op("DequantizeLinear", [q, scale]);
  w.type = { dtype: "float32", shape: [4, 3] };
  const graph = net.output(net.op("MatMul", [x, w], {}, "last"));
  const { skipped } = findLayers(graph, graph, [{ tensor: "w", axis: 0, size: 9, kept: [0, 2, 4, 6] }]);
  expect(skipped).toEqual([
    { node: "last", reason: expect.stringMatching(/quantized \(int8\); dequantize/) as unknown },
  ]);
});

test("a ConvTranspose is named", () => {
  const net = new GraphBuilder(1);
  const x = net.input("x", ["batch", 4, 5, 5]);
  const graph = net.output(net.convTranspose("up", x, [4, 2]));
  const { skipped } = findLayers(graph, graph, [
    { tensor: "up/kernel", axis: 0, size: 8, kept: [0, 1, 2, 3] },
  ]);
  expect(skipped).toEqual([
    { node: "up", reason: expect.stringMatching(/none of Gemm, MatMul and Conv/) as unknown },
  ]);
});

test("layers that do not see each other are on one level", () => {
  const net = new GraphBuilder(1);
  const x = net.input("x", ["batch", 4]);
  const [q, k] = ["q", "k"].map((name) => net.matmul(name, x, [4, 4])) as [Value, Value];
  const o = net.matmul("o", net.op("Mul", [q, k]), [4, 4]);
  const graph = net.output(net.op("Add", [o, net.matmul("side", x, [4, 4])]));
  const cuts = ["q", "k", "o", "side"].map((name) => ({
    tensor: `${name}/kernel`,
    axis: 0,
    size: 6,
    kept: [0, 1, 2, 3],
  }));
  const { layers } = findLayers(graph, graph, cuts);
  expect(Object.fromEntries(layers.map(({ name, level }) => [name, level]))).toEqual({
    q: 0,
    k: 0,
    o: 1,
    side: 0,
  });
});
