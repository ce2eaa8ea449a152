import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { int, tensor } from "../graph/attribute.ts";
import type { Value } from "../graph/graph.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { findAttention } from "./attention.ts";
import { findSites } from "./find-sites.ts";
import type { Site } from "./site.ts";

const brief = ({ name, tensor: weight, axis, groups, blockSize, prunable }: Site) => {
  return `${name}: ${weight}[${axis}] ${groups} × ${blockSize} ${prunable === true ? "prunable" : prunable}`;
};

test("sites of a small CNN, with what is coupled to them and why the rest stays", () => {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 3, 8, 8]);
  const conv = net.op("Relu", [net.batchNorm("bn", net.conv("c1", x, [3, 6]), 6)]);
  const hidden = net.op("Relu", [net.gemm("fc1", net.op("Flatten", [conv]), [216, 5])]);
  const sites = findSites(net.output(net.op("Softmax", [net.gemm("fc2", hidden, [5, 4])], {}, "softmax")));
  expect(sites.map(brief)).toEqual([
    "c1.inputs: c1/kernel[1] 3 × 1 prunable",
    "c1.filters: c1/kernel[0] 6 × 1 prunable",
    "fc1.neurons: fc1/kernel[1] 5 × 1 prunable",
    'fc2.neurons: fc2/kernel[1] 4 × 1 Softmax "softmax" normalises over this axis',
  ]);
  const filters = sites[1]!;
  expect(filters.coupled.map(({ tensor: name, axis, role }) => `${name}[${axis}] ${role}`)).toEqual([
    "c1/bias[0] parameter",
    "bn/gamma[0] parameter",
    "bn/beta[0] parameter",
    "bn/mean[0] statistics",
    "bn/variance[0] statistics",
    "fc1/kernel[0] consumer",
  ]);
  // Channel g is the run of 36 features from 36·g on.
  expect(filters.coupled.at(-1)!.places[0]).toMatchObject({ offset: 0, stride: 36 });
});

test("norms are those of each group's own weights", () => {
  const net = new GraphBuilder();
  const w = net.graph.addInitializer("w", tensorOf("float32", [2, 3], [3, 0, 1, 4, 0, 2]));
  const hidden = net.op("MatMul", [net.input("x", ["batch", 2]), w], {}, "fc");
  const sites = findSites(net.output(net.gemm("head", hidden, [3, 2])));
  expect([...sites.find(({ name }) => name === "fc.neurons")!.norms()]).toEqual([5, 0, Math.sqrt(5)]);
});

test("layers that add into one stream share their channels", () => {
  const net = new GraphBuilder();
  const a = net.gemm("a", net.input("x", ["batch", 4]), [4, 6]);
  const b = net.gemm("b", net.op("Tanh", [a]), [6, 6]);
  const sites = findSites(net.output(net.gemm("head", net.op("Add", [a, b]), [6, 2])));
  const channel = (name: string): number => sites.find((site) => site.name === name)!.channel;
  expect(channel("a.neurons")).toBe(channel("b.neurons"));
  expect(channel("a.neurons")).not.toBe(channel("head.neurons"));
});

test("heads appear by themselves where a layer's outputs are split by a reshape", () => {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 5, 12]);
  const heads = (name: string): Value => {
    const split = net.reshape(net.matmul(name, x, [12, 12]), [0, 0, 3, 4], `${name}/split`);
    return net.transpose(split, [0, 2, 1, 3]);
  };
  const [q, k, v] = [heads("q"), heads("k"), heads("v")];
  const scores = net.op("Softmax", [net.op("MatMul", [q, net.transpose(k, [0, 1, 3, 2])])], {}, "attention");
  const context = net.transpose(net.op("MatMul", [scores, v]), [0, 2, 1, 3]);
  const graph = net.output(net.matmul("o", net.reshape(context, [0, 0, 12], "merge"), [12, 8]));
  const sites = findSites(graph).filter(({ kind }) => kind !== "inputs");
  expect(
    sites.map(({ name, tensor: weight, groups, blockSize, prunable }) => [
      name,
      weight,
      groups,
      blockSize,
      prunable === true,
    ]),
  ).toEqual([
    ["attention.headDims", "q/kernel", 4, 3, true],
    ["attention.heads", "v/kernel", 3, 4, true],
    ["attention.headDims.2", "v/kernel", 4, 3, true],
    ["o.neurons", "o/kernel", 8, 1, false],
  ]);
  const coupled = sites[1]!.coupled.map(({ tensor: weight, axis, role }) => `${weight}[${axis}] ${role}`);
  expect(coupled.toSorted()).toEqual([
    "k/bias[0] parameter",
    "k/kernel[1] producer",
    "o/kernel[0] consumer",
    "q/bias[0] parameter",
    "q/kernel[1] producer",
    "v/bias[0] parameter",
  ]);
  expect(findAttention(graph)).toEqual([
    { name: "attention", form: "MatMul", heads: 3, kvHeads: 3, headDim: 4, prunable: true },
  ]);
});

test("an unknown operator blocks its own channels, not the model", () => {
  const net = new GraphBuilder();
  const hidden = net.gemm("fc1", net.input("x", ["batch", 4]), [4, 6]);
  const odd = net.graph.addNode({ op: "Mystery", domain: "example", name: "odd", inputs: [hidden] })
    .outputs[0]!;
  odd.type = { dtype: "float32", shape: ["batch", 6] };
  const after = net.gemm("fc2", odd, [6, 5]);
  const sites = findSites(net.output(net.gemm("fc3", net.op("Relu", [after]), [5, 2])));
  expect(sites.map(brief)).toEqual(
    [
      "fc1.inputs: fc1/kernel[0] 4 × 1 prunable",
      'fc1.neurons: fc1/kernel[1] 6 × 1 example.Mystery "odd" is not an operator whose channels are known',
      "fc2.neurons: fc2/kernel[1] 5 × 1 prunable",
      'fc3.neurons: fc3/kernel[1] 2 × 1 "gemm3" is an output of the model',
    ].map((line) => line.replace('"gemm3"', `"${net.graph.outputs[0]!.name}"`)),
  );
});

test("weights in Constant nodes are sites like initializers", () => {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 2]);
  const data = tensorOf("float32", [2, 3], [1, 2, 3, 4, 5, 6]);
  const w = net.op("Constant", [], { value: tensor(data) }, "weights");
  const hidden = net.op("MatMul", [x, w], {}, "fc");
  const sites = findSites(net.output(net.gemm("head", hidden, [3, 2])));
  expect(sites.map(({ name, tensor: weight }) => [name, weight])).toContainEqual(["fc.neurons", w.name]);
});

/** A value that holds a layer's channels 2^times times, made by as many Concats. */
function doubled(net: GraphBuilder, value: Value, times: number): Value {
  let whole = value;
  for (let i = 0; i < times; i++) whole = net.op("Concat", [whole, whole], { axis: int(-1) });
  return whole;
}

test("channels that a few nodes repeat a billion times are blocked, at once", () => {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 3]);
  const [a, b] = [net.gemm("a", x, [3, 4]), net.gemm("b", x, [3, 4])];
  const sum = net.op("Add", [doubled(net, a, 30), doubled(net, b, 30)]);
  const wide = net.op("MatMul", [sum, net.op("Transpose", [sum])]);
  const sites = findSites(net.output(wide)).filter(({ kind }) => kind === "neurons");
  expect(sites.map(({ prunable }) => prunable)).toEqual([
    "it is part of an axis of more than 10000 pieces",
    "it is part of an axis of more than 10000 pieces",
  ]);
});

test("a symbolic size that doubles with every node counts as unknown in the end", () => {
  const net = new GraphBuilder();
  let whole = net.op("Relu", [net.input("x", ["batch", 3])]);
  for (let i = 0; i < 60; i++) whole = net.op("Concat", [whole, whole], { axis: int(0) });
  const { types } = inferShapes(net.output(whole));
  expect(types.get(whole)?.shape).toEqual([undefined, 3]);
});

test("thousands of layers of one name get names of their own, in time that grows with their number", () => {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 2]);
  for (let i = 0; i < 2000; i++) {
    net.output(net.op("MatMul", [x, net.weight(`w${i}`, [2, 2])], {}, "same"));
  }
  const names = findSites(net.graph).map(({ name }) => name);
  expect(names.slice(0, 4)).toEqual(["same.inputs", "same.neurons", "same.inputs.2", "same.neurons.2"]);
  expect(new Set(names).size).toBe(4000);
});

test("a result that is called as caches are, but has no heads, keeps its shape", () => {
  const net = new GraphBuilder();
  const score = net.gemm("fc", net.input("x", ["batch", 3]), [3, 4]);
  net.graph.rename(score, "present");
  expect(findSites(net.output(score)).map(brief)).toContain(
    'fc.neurons: fc/kernel[1] 4 × 1 "present" is an output of the model',
  );
});
