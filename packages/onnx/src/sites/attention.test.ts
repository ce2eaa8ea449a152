import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import type { Value } from "../graph/graph.ts";
import { findAttention } from "./attention.ts";

const repeated = (times: number, x: Value, step: (x: Value) => Value): Value =>
  Array.from({ length: times }).reduce<Value>((y) => step(y), x);

test("products are searched along each way once: eight ways from node to node are no 8¹² searches", () => {
  const net = new GraphBuilder();
  const wide = (x: Value): Value =>
    net.op(
      "Max",
      Array.from({ length: 8 }, () => x),
    );
  const weights = net.op("Softmax", [repeated(14, net.input("x", ["batch", 4]), wide)]);
  expect(findAttention(net.output(repeated(14, weights, wide)))).toEqual([]);
  const square = net.input("square", [4, 4]);
  const scores = repeated(5, net.op("MatMul", [square, square]), wide);
  const attended = net.op("MatMul", [repeated(5, net.op("Softmax", [scores]), wide), square]);
  expect(findAttention(net.output(attended))).toMatchObject([{ heads: 1, headDim: 4 }]);
});

test("operands are followed through 12,000 moves, and sizes through as many nodes", {
  timeout: 30_000,
}, () => {
  const net = new GraphBuilder();
  const moved = repeated(12_000, net.input("x", [4, 4]), (x) => net.transpose(x, [1, 0]));
  const weights = net.op("Softmax", [net.op("MatMul", [moved, moved])]);
  const attended = net.op("MatMul", [weights, moved]);
  const tokens = net.input("tokens", ["batch", 4]);
  const sizes = repeated(12_000, net.op("Shape", [tokens]), (x) => net.op("Identity", [x]));
  const graph = net.output(attended, net.op("Reshape", [tokens, sizes]));
  expect(findAttention(graph)).toMatchObject([{ heads: 1, headDim: 4 }]);
});
