import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Graph, int, tensorOf, writeModel } from "@dgate/onnx";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bert } from "../../../onnx/test/models/bert.ts";
import { kinds, smallExamples } from "../../test/small-examples.ts";
import { tinyBertFolder, type TinyBertOptions, tinyTexts } from "../../test/tiny-bert-folder.ts";
import { inBatches } from "../data/feeds.ts";
import type { HeadGates } from "../head-gates.ts";
import { openHeadGates } from "../open-head-gates.ts";
import { objectiveOf } from "./objective.ts";
import { Scorer } from "./score.ts";

let root: string;
const opened: HeadGates[] = [];

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "dgate-objectives-"));
});

afterAll(async () => {
  for (const gates of opened) await gates.pipeline.dispose?.();
  await rm(root, { recursive: true });
});

async function open(architecture: string, options: TinyBertOptions = {}): Promise<HeadGates> {
  const folder = await mkdtemp(join(root, "model-"));
  await tinyBertFolder(folder, { head: "none", config: { architectures: [architecture] }, ...options });
  const gates = await openHeadGates(folder);
  opened.push(gates);
  return gates;
}

const texts = Array.from({ length: 4 }, () => tinyTexts).flat();
const quick = { steps: 8, batchSize: 4, latency: false, gateRate: 0.1, target: { heads: 0.5 } } as const;

test.each([
  ["gates", 1],
  ["gates", 2],
  ["groups", 2],
] as const)("embeddings are learned with train: %s in %i rounds", async (train, rounds) => {
  const gates = await open("BertModel");
  const outputs = gates.internals.parts[0]!.graph.outputs.map(({ name }) => name);
  const report = await gates.learn(texts, { ...quick, train, rounds, objective: "embedding" });
  expect(report.dense.quality).toMatchObject({ cosine: expect.closeTo(1, 6), rankCorrelation: 1 });
  expect(report.pruned.quality["cosine"]).toBeCloseTo(report.gated.quality["cosine"]!, 5);
  expect(report.pruned.quality["cosine"]).toBeLessThan(1);
  // The loss is the squared distance of unit vectors, whatever their width.
  const { loss, cosine } = report.pruned.quality;
  expect(loss).toBeCloseTo(2 - 2 * cosine!, 5);
  expect(gates.internals.parts[0]!.graph.outputs.map(({ name }) => name)).toEqual(outputs);
});

/** A classifier on the states that nothing reads, as it is left where a model is cut to its encoder. */
function withDeadHead(graph: Graph): Record<string, Uint8Array> {
  const weight = graph.addInitializer("classifier.weight", tensorOf("float32", [16, 2], Array(32).fill(0.1)));
  graph.addNode({
    op: "MatMul",
    inputs: [graph.outputs[0]!, weight],
    outputs: [graph.addValue("dead_logits")],
  });
  return { "onnx/model.onnx": writeModel(graph) };
}

test.each(["gates", "groups"] as const)(
  "nodes that nothing reads do not matter, train: %s",
  async (train) => {
    const gates = await open("BertModel", { files: withDeadHead });
    const { pruned } = await gates.learn(texts, { ...quick, rounds: 2, train });
    const { files } = await gates.prune();
    expect(files[0]!.pruned!.verification.equal).toBe(true);
    expect(pruned.macs).toBeLessThan(files[0]!.before.macs);
  },
);

test("a pooled output is an embedding as it is", async () => {
  const pooled = await open("BertModel", {
    files: (graph) => {
      const states = graph.outputs[0]!;
      const axes = graph.addInitializer("axes", tensorOf("int64", [1], [1]));
      const { outputs } = graph.addNode({
        op: "ReduceSum",
        inputs: [states, axes],
        outputs: [graph.addValue("sentence_embedding", { dtype: "float32", shape: ["batch_size", 16] })],
        attributes: { keepdims: int(0) },
      });
      graph.setOutputs([outputs[0]!]);
      return { "onnx/model.onnx": writeModel(graph) };
    },
  });
  for (const objective of ["embedding", "distill"] as const) {
    const { dense, pruned } = await pooled.learn(texts, { ...quick, objective });
    expect(dense.quality["cosine"]).toBeCloseTo(1, 6);
    expect(pruned.quality["cosine"]).toBeGreaterThan(0.5);
    expect(pruned.quality["cosine"]).toBeLessThan(1);
  }
});

/** Question answering: two channels of the states as logits of both ends. */
function withEnds(graph: Graph): Record<string, Uint8Array> {
  const states = graph.outputs[0]!;
  const ends = ["start_logits", "end_logits"].map((name, channel) => {
    const index = graph.addInitializer(`${name}.channel`, tensorOf("int64", [], [channel]));
    const { outputs } = graph.addNode({
      op: "Gather",
      inputs: [states, index],
      outputs: [graph.addValue(name, { dtype: "float32", shape: ["batch_size", "sequence_length"] })],
      attributes: { axis: int(2) },
    });
    return outputs[0]!;
  });
  graph.setOutputs(ends);
  return { "onnx/model.onnx": writeModel(graph) };
}

test("both ends of an answer are distilled, over the positions of the text", async () => {
  const gates = await open("BertForQuestionAnswering", { files: withEnds });
  const pairs = texts.map((text): [string, string] => ["is it good", text]);
  const report = await gates.learn(pairs, quick);
  expect(report.dense.quality).toEqual({ loss: expect.closeTo(0, 6), agreement: 1 });
  // Each row is a distribution over positions, not over one number.
  expect(report.pruned.quality["loss"]).toBeGreaterThan(1e-5);
  expect(report.losses.some((loss) => loss > 1e-6)).toBe(true);
  await expect(gates.importance("gradient", pairs.slice(0, 3))).resolves.toBeInstanceOf(Map);
});

test("classes of tokens have no perplexity", async () => {
  const gates = await open("BertForTokenClassification");
  const { dense, pruned } = await gates.learn(texts, quick);
  expect(Object.keys(dense.quality)).toEqual(["loss", "agreement"]);
  expect(Object.values(pruned.quality).every(Number.isFinite)).toBe(true);
});

test("held-out examples of their own need labels too, and are named as such", async () => {
  const gates = await open("BertForSequenceClassification", { head: "classifier" });
  const labelled = texts.map((text, i) => ({ text, label: i % 3 }));
  const options = { ...quick, objective: "labels", heldOut: [labelled[0]!, "no label"] } as const;
  await expect(gates.learn(labelled, options)).rejects.toMatchObject({
    code: "DATA",
    message: expect.stringContaining("held-out example 1 has no label"),
  });
  await expect(
    gates.learn(labelled, { ...options, heldOut: [{ text: "a", label: 9 }] }),
  ).rejects.toMatchObject({ message: expect.stringContaining("held-out example 0 has the label 9") });
});

test("a length that the model has no positions for is refused before it fails", async () => {
  const gates = await open("BertForSequenceClassification", { head: "classifier" });
  await expect(gates.learn(texts, { ...quick, maxLength: 17 })).rejects.toMatchObject({
    code: "OPTION",
    message: expect.stringContaining("maxLength is 17, but tokenizer and model take 16 tokens"),
  });
});

test("quality is the same whether the dense model's outputs are kept or made again", async () => {
  const model = bert({ head: "classifier" });
  const other = bert({ head: "classifier", seed: 7 });
  const examples = smallExamples(model, 9);
  const objective = objectiveOf(model.graph, kinds.classes, examples);
  const score = async (keptBytes: number) => {
    const scorer = new Scorer(objective, inBatches(examples, 2), 0, { engine: {}, threads: 1, keptBytes });
    return [await scorer.scoreDense(model.graph), await scorer.score(other.graph)];
  };
  const kept = await score(2 ** 20);
  expect(kept[1]!["loss"]).toBeGreaterThan(0);
  expect(await score(0)).toEqual(kept);
  expect(await score(40)).toEqual(kept);
});
