import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { outputDifference, outputsOf } from "../../test/same-outputs.ts";
import { float, int } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { fuse } from "./fuse.ts";

const width = 6;
const [a, b] = [3, 5].map((step) =>
  tensorOf(
    "float32",
    [2, 3, width],
    Array.from({ length: 36 }, (_, i) => Math.sin(step * i)),
  ),
);

function build(write: (net: GraphBuilder, a: Value, b: Value) => readonly Value[], opset = 17): Graph {
  const net = new GraphBuilder(2, opset);
  const [x, y] = ["a", "b"].map((name) => net.input(name, ["batch", "time", width]));
  return net.output(...write(net, x!, y!));
}

const norm = (net: GraphBuilder, x: Value): Value =>
  net.op("LayerNormalization", [x, net.weight("gamma", [width], 0.1, 1), net.weight("beta", [width])], {
    axis: int(-1),
    epsilon: float(1e-5),
  });

async function fused(graph: Graph) {
  const { graph: result, report } = fuse(graph, { sums: true });
  const feeds = { a: a!, b: b! };
  const difference = outputDifference(await outputsOf(result, feeds), await outputsOf(graph, feeds));
  expect(difference).toBeLessThan(1e-5);
  return { ops: result.nodes().map(({ op }) => op), report };
}

describe("a sum and the normalisation behind it are one node", () => {
  test("with the bias that is added to one of them", async () => {
    const graph = build((net, x, y) => [
      norm(net, net.op("Add", [y, net.op("Add", [x, net.weight("bias", [width])])])),
    ]);
    const { ops, report } = await fused(graph);
    expect(ops).toEqual(["SkipLayerNormalization"]);
    expect(report.fused).toMatchObject([
      { pattern: "normalisation", op: "com.microsoft.SkipLayerNormalization" },
    ]);
  });

  test("and the sum is an output of it where something else reads it", async () => {
    const graph = build((net, x, y) => {
      const sum = net.op("Add", [net.op("Add", [x, net.weight("bias", [width])]), y]);
      return [net.op("Mul", [norm(net, sum), sum]), sum];
    });
    expect((await fused(graph)).ops).toEqual(["SkipLayerNormalization", "Mul"]);
  });

  test("but not where one of them is spread over the other", async () => {
    const graph = build((net, x) => [norm(net, net.op("Add", [x, net.weight("positions", [1, 3, width])]))]);
    const { ops, report } = await fused(graph);
    expect(ops).toEqual(["Add", "LayerNormalization"]);
    expect(report.skipped[0]?.reason).toMatch(/not of two float32 values with the same three axes/);
  });
});

const number = (net: GraphBuilder, value: number): Value =>
  net.graph.addInitializer(net.graph.freshName("number"), tensorOf("float32", [], [value]));

const root = (net: GraphBuilder, x: Value, square: Value): Value => {
  const mean = net.op("ReduceMean", [square], { axes: { kind: "ints", value: [-1] } });
  return net.op("Sqrt", [net.op("Add", [mean, number(net, 1e-6)])]);
};

test("RMSNorm, node by node, becomes SimplifiedLayerNormalization in every way of writing it", async () => {
  const ways: readonly ((net: GraphBuilder, x: Value) => Value)[] = [
    (net, x) => net.op("Div", [x, root(net, x, net.op("Pow", [x, number(net, 2)]))]),
    (net, x) => net.op("Mul", [net.op("Reciprocal", [root(net, x, net.op("Mul", [x, x]))]), x]),
    (net, x) => net.op("Mul", [x, net.op("Div", [number(net, 1), root(net, x, net.op("Mul", [x, x]))])]),
  ];
  for (const way of ways) {
    const graph = build((net, x, y) => [
      net.op("Mul", [net.weight("gamma", [width], 0.1, 1), way(net, net.op("Add", [x, y]))]),
    ]);
    expect((await fused(graph)).ops).toEqual(["SkipSimplifiedLayerNormalization"]);
  }
});
