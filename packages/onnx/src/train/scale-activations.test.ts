import {
  type Attribute,
  findSites,
  float,
  type Graph,
  insertGates,
  int,
  ints,
  openRunner,
  type Value,
  writeModel,
} from "@dgate/onnx";
import { tolerances } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { bert } from "../../test/models/bert.ts";
import { feedsOf } from "../../test/models/transformer-model.ts";
import { normals } from "../../test/train/nets.ts";
import { unevenlyGated } from "../../test/train/training-step.ts";
import { backward } from "../autodiff/backward.ts";
import { nameOutput, tidy } from "../autodiff/gradients.ts";
import { GraphDiffOps } from "../operators/graph-diff-ops.ts";
import { removeDeadCode } from "../prune/dead-code.ts";
import type { Feed } from "../runtime/run-tensor.ts";
import { trainingForm } from "../training-form/training-form.ts";
import { scaleActivations, type ScaleOptions } from "./scale-activations.ts";

const layers: ScaleOptions["layers"] = ["MatMul", "Gemm", "Conv"];

/** Outputs of a model and the gradients of their weighted sum by some inputs, with weights as they are gated or with scaled activations. */
async function measured(
  model: Graph,
  gates: readonly string[],
  feeds: Readonly<Record<string, Feed>>,
  scaled: boolean,
) {
  const graph = trainingForm(model, gates);
  // Gates are no constants here, or the layers would count as frozen.
  for (const name of gates) graph.value(name)!.data = undefined;
  removeDeadCode(graph);
  const ops = new GraphDiffOps(graph, "test");
  const edits = scaled ? scaleActivations(ops, { isWeight: ({ data }) => data !== undefined, layers }) : 0;
  const seeds = new Map(
    graph.outputs.map((output) => {
      const slope = ops.call("Cos", [ops.scale(ops.call("Identity", [output]), 3)]);
      return [output, slope] as const;
    }),
  );
  const wrt = gates.map((name) => graph.value(name)!);
  const found = backward({ graph, ops, tensorOf: (value: Value) => value, seeds, wrt });
  gates.forEach((name, i) => graph.addOutput(nameOutput(ops, found.get(wrt[i]!)!, `${name}.gradient`)));
  tidy(graph);
  const runner = await openRunner(writeModel(graph));
  const results = await runner.run(feeds);
  await runner.dispose();
  return { edits, results };
}

/** Both ways give the same; says how many layers the scaled one has changed. */
async function same(
  model: Graph,
  gates: readonly string[],
  feeds: Readonly<Record<string, Feed>>,
): Promise<number> {
  const values = Object.fromEntries(
    gates.map((name) => [name, model.value(name)!.data ?? feeds[name]!] as const),
  );
  const all = { ...feeds, ...values };
  const bare = await measured(model, gates, all, false);
  const scaled = await measured(model, gates, all, true);
  expect(Object.keys(scaled.results)).toEqual(Object.keys(bare.results));
  for (const [name, { data, shape }] of Object.entries(bare.results)) {
    expect(scaled.results[name]!.shape).toEqual(shape);
    const largest = (data as Float32Array).reduce((a, b) => Math.max(a, Math.abs(b)), 0);
    const tolerance = { ...tolerances.float32, absolute: 1e-4 * Math.max(1, largest) };
    expect(scaled.results[name]!.data as Float32Array).toBeAllClose(data as Float32Array, tolerance);
  }
  return scaled.edits;
}

interface Layer {
  readonly op: "MatMul" | "Gemm" | "Conv";
  readonly x: readonly number[];
  readonly weight: readonly number[];
  /** Shape that the gate is multiplied with. */
  readonly gate: readonly number[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly bias?: readonly number[];
  readonly edits?: number;
}

const cases: Readonly<Record<string, Layer>> = {
  "MatMul, output": { op: "MatMul", x: [2, 5, 4], weight: [4, 6], gate: [1, 6] },
  "MatMul, input": { op: "MatMul", x: [2, 5, 4], weight: [4, 6], gate: [4, 1] },
  "MatMul, the whole weight": { op: "MatMul", x: [5, 4], weight: [4, 6], gate: [1, 1] },
  "MatMul of a batch of weights: left alone": {
    op: "MatMul",
    x: [2, 5, 4],
    weight: [2, 4, 6],
    gate: [2, 1, 1],
    edits: 0,
  },
  "MatMul, a factor of both axes: left alone": {
    op: "MatMul",
    x: [5, 4],
    weight: [4, 6],
    gate: [4, 6],
    edits: 0,
  },
  "Gemm, output, bias": { op: "Gemm", x: [5, 4], weight: [4, 6], gate: [6], bias: [6] },
  "Gemm, output, no bias": { op: "Gemm", x: [5, 4], weight: [4, 6], gate: [6] },
  "Gemm, output, alpha and beta": {
    op: "Gemm",
    x: [5, 4],
    weight: [4, 6],
    gate: [1, 6],
    bias: [5, 1],
    attributes: { alpha: float(0.5), beta: float(-2) },
  },
  "Gemm, output, transB": {
    op: "Gemm",
    x: [5, 4],
    weight: [6, 4],
    gate: [6, 1],
    bias: [1, 6],
    attributes: { transB: int(1) },
  },
  "Gemm, output, transA and transB": {
    op: "Gemm",
    x: [4, 5],
    weight: [6, 4],
    gate: [6, 1],
    bias: [6],
    attributes: { transA: int(1), transB: int(1), beta: float(3) },
  },
  "Gemm, input, alpha and beta": {
    op: "Gemm",
    x: [5, 4],
    weight: [4, 6],
    gate: [4, 1],
    bias: [6],
    attributes: { alpha: float(0.5), beta: float(-2) },
  },
  "Gemm, input, no bias, transB": {
    op: "Gemm",
    x: [5, 4],
    weight: [6, 4],
    gate: [1, 4],
    attributes: { transB: int(1) },
  },
  "Gemm, input, transA": {
    op: "Gemm",
    x: [4, 5],
    weight: [4, 6],
    gate: [4, 1],
    bias: [6],
    attributes: { transA: int(1) },
  },
  "Gemm of one input": { op: "Gemm", x: [5, 1], weight: [1, 6], gate: [1, 1], bias: [6] },
  "Conv, output channels": {
    op: "Conv",
    x: [2, 3, 6, 6],
    weight: [4, 3, 3, 3],
    gate: [4, 1, 1, 1],
    bias: [4],
    attributes: { pads: ints([1, 1, 1, 1]), strides: ints([2, 2]) },
  },
  "Conv, output channels, no bias, groups": {
    op: "Conv",
    x: [2, 4, 6, 6],
    weight: [6, 2, 3, 3],
    gate: [6, 1, 1, 1],
    attributes: { group: int(2) },
  },
  "Conv, input channels": {
    op: "Conv",
    x: [2, 3, 6, 6],
    weight: [4, 3, 3, 3],
    gate: [1, 3, 1, 1],
    bias: [4],
    attributes: { pads: ints([1, 1, 1, 1]) },
  },
  "Conv, input channels of groups: left alone": {
    op: "Conv",
    x: [2, 4, 6, 6],
    weight: [6, 2, 3, 3],
    gate: [1, 2, 1, 1],
    attributes: { group: int(2) },
    edits: 0,
  },
  "Conv, places of the kernel: left alone": {
    op: "Conv",
    x: [2, 3, 6, 6],
    weight: [4, 3, 3, 3],
    gate: [1, 1, 3, 1],
    edits: 0,
  },
  "Conv of signals": { op: "Conv", x: [2, 3, 9], weight: [4, 3, 3], gate: [4, 1, 1], bias: [4] },
};

const sizeOf = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);

describe("scaling activations gives the same outputs and gradients of gates:", () => {
  test.each(Object.keys(cases))("%s", async (name) => {
    const { op, x, weight, gate, attributes = {}, bias, edits = 1 } = cases[name]!;
    const net = new GraphBuilder(5, 18);
    const input = net.input("x", x);
    const scaled = net.op("Mul", [net.weight("w", weight), net.input("gate", gate)]);
    const y = net.op(op, [input, scaled, ...(bias ? [net.weight("b", bias)] : [])], attributes);
    net.graph.rename(y, "y");
    const feeds = {
      x: { data: normals(2, sizeOf(x)), shape: x },
      gate: { data: normals(3, sizeOf(gate)), shape: gate },
    };
    expect(await same(net.output(y), ["gate"], feeds)).toBe(edits);
  });

  test("a weight that two sets of groups gate, and one that several layers share", async () => {
    const net = new GraphBuilder(5, 18);
    const x = net.input("x", ["batch", 4]);
    const rows = net.op("Mul", [net.weight("w", [4, 4]), net.input("rows", [4, 1])]);
    const both = net.op("Mul", [rows, net.input("columns", [1, 4])]);
    const y = net.op("MatMul", [net.op("Tanh", [net.op("MatMul", [x, both])]), both]);
    net.graph.rename(y, "y");
    const feeds = {
      x: { data: normals(2, 12), shape: [3, 4] },
      rows: { data: normals(3, 4), shape: [4, 1] },
      columns: { data: normals(4, 4), shape: [1, 4] },
    };
    // Two layers, each for two factors.
    expect(await same(net.output(y), ["rows", "columns"], feeds)).toBe(4);
  });

  test("heads and neurons of BERT", async () => {
    const model = bert({ layers: 2 });
    const gated = unevenlyGated(model.graph, { depth: 3, sites: ["heads", "neurons"] });
    const gates = gated.inputs.filter(({ name }) => name.includes(".gate.")).map(({ name }) => name);
    expect(gates.length).toBeGreaterThanOrEqual(8);
    // Per layer: values, output projection and the first layer of the FFN.
    expect(await same(gated, gates, feedsOf(model, 3))).toBe(6);
  });

  test("filters of a network of convolutions, with channels as inputs", async () => {
    const net = new GraphBuilder(6, 18);
    const x = net.input("x", ["batch", 2, 8, 8]);
    const a = net.op("Relu", [net.conv("a", x, [2, 4], { pads: [1, 1, 1, 1] })]);
    const b = net.op("Relu", [net.conv("b", a, [4, 6])]);
    const y = net.gemm("fc", net.op("Flatten", [net.op("GlobalAveragePool", [b])]), [6, 3]);
    net.graph.rename(y, "y");
    const graph = net.output(y);
    const gated = insertGates(graph, findSites(graph), {
      roles: { filters: ["consumer"] },
      sites: ["a.filters"],
    });
    const x8 = { data: normals(1, 256), shape: [2, 2, 8, 8] };
    expect(await same(gated, ["a.filters.gate.1"], { x: x8 })).toBe(2);
  });
});
