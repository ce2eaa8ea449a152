import { findSites, type Graph } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { bert } from "../../test/models/bert.ts";
import { gpt2 } from "../../test/models/gpt2.ts";
import { llama } from "../../test/models/llama.ts";
import { feedsOf, type TransformerModel } from "../../test/models/transformer-model.ts";
import { classBatches, mlp, normals } from "../../test/train/nets.ts";
import { crossEntropy, distill, type Loss, meanSquaredError } from "./loss.ts";
import { sgd } from "./optimizer.ts";
import { openTrainer } from "./trainer.ts";
import type { Trainer } from "./trainer-options.ts";

/** Names of the initializers whose bytes are others than before. */
function changed(before: Graph, after: Graph): string[] {
  const same = (name: string, bytes: Uint8Array): boolean =>
    Buffer.compare(before.value(name)!.data!.bytes, bytes) === 0;
  return after.initializers.flatMap(({ name, data }) => (same(name, data!.bytes) ? [] : [name]));
}

/** Trains for two steps and gives the names of what has changed. */
async function changes(trainer: Trainer, batch: Parameters<Trainer["fit"]>[0]): Promise<string[]> {
  const before = await trainer.gated();
  await trainer.fit(batch);
  const after = await trainer.gated();
  expect(after.initializers.map(({ name }) => name)).toEqual(before.initializers.map(({ name }) => name));
  return changed(before, after);
}

const parametersOf = ({ parameters }: Trainer, kind: string): string[] =>
  parameters.flatMap((parameter) => (parameter.kind === kind ? [parameter.name] : []));

describe.each(["host", "graph"] as const)("of an MLP, updates in the %s,", (updates) => {
  const gates = ["fc1.neurons.gate.1", "fc2.neurons.gate.1"];
  const weights = ["fc1/kernel", "fc2/kernel"];
  const others = ["fc1/bias", "fc2/bias", "out/bias", "out/kernel"];
  const options = { loss: crossEntropy(), optimizer: sgd(), learningRate: 0.1, updates };

  test("gates alone change where the gates are trained, to the byte", async () => {
    const graph = mlp();
    const trainer = await openTrainer(graph, { ...options, sites: findSites(graph), train: "gates" });
    const all = gates.flatMap((name) => [name, name.replace(".1", ".2")]);
    expect((await changes(trainer, classBatches(2))).sort()).toEqual(all.sort());
    const { graph: folded } = await trainer.fold();
    expect(changed(graph, folded).sort()).toEqual(weights);
    await trainer.dispose();
  });

  test("gates and the weights in groups change by default", async () => {
    const graph = mlp();
    const trainer = await openTrainer(graph, { ...options, sites: findSites(graph) });
    expect((await changes(trainer, classBatches(2))).sort()).toEqual([...gates, ...weights].sort());
    await trainer.dispose();
  });

  test("coupled slices that are in the groups are trained with them", async () => {
    const graph = mlp();
    const trainer = await openTrainer(graph, {
      ...options,
      sites: findSites(graph),
      gate: ["fc2.neurons"],
      roles: { neurons: ["consumer"] },
    });
    expect((await changes(trainer, classBatches(2))).sort()).toEqual([
      "fc2.neurons.gate.1",
      "fc2/kernel",
      "out/kernel",
    ]);
    await trainer.dispose();
  });

  test("everything that is learned changes where all is trained", async () => {
    const graph = mlp();
    const trainer = await openTrainer(graph, { ...options, sites: findSites(graph), train: "all" });
    expect((await changes(trainer, classBatches(2))).sort()).toEqual(
      [...gates, ...weights, ...others].sort(),
    );
    expect(parametersOf(trainer, "grouped").sort()).toEqual(weights);
    expect(parametersOf(trainer, "other").sort()).toEqual(others);
    await trainer.dispose();
  });
});

/** What is trained of a transformer beside its gates, and the parameters of it: exporters name them, and number what they compute. */
async function learnedOf(model: TransformerModel, loss: Loss = distill({ output: "logits", kind: "mse" })) {
  const { graph } = model;
  const trainer = await openTrainer(graph, {
    sites: findSites(graph),
    gate: ["heads"],
    loss,
    optimizer: sgd(),
    learningRate: 0.01,
    lambda: 1e-2,
    train: "all",
  });
  const trained = trainer.parameters.flatMap(({ name, kind }) => (kind === "gate" ? [] : [name]));
  const feeds = feedsOf(model, 1);
  const moved = await changes(trainer, [feeds, feeds]);
  expect(moved.filter((name) => !trainer.parameters.some((parameter) => parameter.name === name))).toEqual(
    [],
  );
  await trainer.dispose();
  const parameters = graph.initializers.filter(({ name, data }) => {
    return /^[a-z]+\.|^onnx::MatMul/.test(name) && data!.dtype === "float32";
  });
  return { trained: trained.sort(), parameters: parameters.map(({ name }) => name).sort() };
}

const dynamo = { opset: 18, shapes: "sliced", constants: "initializers" } as const;

describe("all that is learned is trained, and masks, scalars and tables of positions are not:", () => {
  test.each([
    ["BERT", bert({ layers: 1, head: "classifier" })],
    ["Llama", llama({ layers: 1 })],
    ["Llama of the dynamo exporter", llama({ layers: 1, ...dynamo })],
    ["GPT-2", gpt2({ layers: 1 })],
  ] as const)("%s", async (_, model) => {
    const { trained, parameters } = await learnedOf(model);
    expect(trained).toEqual(parameters);
    expect(trained.length).toBeGreaterThan(10);
  });

  test("BERT of the dynamo exporter, without its pooler, which the loss does not see", async () => {
    const model = bert({ layers: 1, ...dynamo, norm: "op", attention: "sdpa" });
    const hidden = model.graph.outputs[0]!.name;
    const { trained, parameters } = await learnedOf(model, distill({ output: hidden, kind: "mse" }));
    expect(trained).toEqual(parameters.filter((name) => !name.includes("pooler")));
    expect(trained.length).toBe(parameters.length - 2);
  });
});

/** One hidden layer and two outputs, a and b. */
function twoHeads(): Graph {
  const net = new GraphBuilder(3, 18);
  const h = net.op("Tanh", [net.gemm("fc", net.input("x", ["batch", 8]), [8, 10])]);
  const outputs = ["a", "b"].map((name) => {
    const y = net.gemm(`head_${name}`, h, [10, 2]);
    net.graph.rename(y, name);
    return y;
  });
  return net.output(...outputs);
}

describe("weights that the loss does not depend on", () => {
  const batch = {
    x: { data: normals(1, 32), shape: [4, 8] },
    targets: { data: normals(2, 8), shape: [4, 2] },
  };

  test.each(["host", "graph"] as const)("stay as they are, updates in the %s", async (updates) => {
    const graph = twoHeads();
    const options = { sites: findSites(graph), loss: meanSquaredError({ output: "a" }), updates };
    const trainer = await openTrainer(graph, {
      ...options,
      train: "all",
      learningRate: 0.1,
      optimizer: sgd(),
    });
    expect(trainer.inputs.map(({ name }) => name)).toEqual(["x", "targets"]);
    expect((await changes(trainer, [batch, batch])).sort()).toEqual([
      "fc.neurons.gate.1",
      "fc/bias",
      "fc/kernel",
      "head_a/bias",
      "head_a/kernel",
    ]);
    await trainer.dispose();
  });

  test("but are in a group shrink with its penalty alone", async () => {
    const graph = twoHeads();
    const trainer = await openTrainer(graph, {
      sites: findSites(graph),
      loss: meanSquaredError({ output: "a" }),
      roles: { neurons: ["consumer"] },
      optimizer: sgd(),
      learningRate: 0.1,
      lambda: 0.5,
    });
    const before = trainer.parameters.find(({ name }) => name === "head_b/kernel")!.initial();
    await trainer.fit([batch]);
    const after = await trainer.gated();
    const bytes = after.value("head_b/kernel")!.data!.bytes;
    const got = new Float32Array(new Uint8Array(bytes).buffer);
    // c = 1 − 2ηλ/D
    got.forEach((w, i) => expect(w).toBeCloseTo((1 - 0.1 * 0.5) * before[i]!, 6));
    await trainer.dispose();
  });

  test("through a step that has no derivative stay constants of the graph", async () => {
    const net = new GraphBuilder(3, 18);
    const x = net.input("x", ["batch", 8]);
    const rounded = net.op("Round", [net.op("Add", [x, net.weight("shift", [8])])]);
    const h = net.op("Tanh", [net.gemm("fc", rounded, [8, 10])]);
    const graph = net.output(net.gemm("out", h, [10, 2]));
    const trainer = await openTrainer(graph, {
      sites: findSites(graph),
      gate: ["fc.neurons"],
      loss: meanSquaredError(),
      train: "all",
    });
    expect(trainer.inputs.map(({ name }) => name)).toEqual(["x", "targets"]);
    expect(trainer.parameters.map(({ name }) => name)).not.toContain("shift");
    await trainer.fit([batch]);
    await trainer.dispose();
  });
});
