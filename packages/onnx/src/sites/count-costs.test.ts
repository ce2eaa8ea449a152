import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
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
