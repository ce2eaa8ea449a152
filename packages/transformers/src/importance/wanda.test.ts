import { type Graph, numbersOf, openRunner, readNumbers } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { bert } from "../../../onnx/test/models/bert.ts";
import { llama } from "../../../onnx/test/models/llama.ts";
import { transformerModels } from "../../../onnx/test/models/models.ts";
import { patterns } from "../../../onnx/test/models/patterns.ts";
import type { AttentionExpectation, TransformerModel } from "../../../onnx/test/models/transformer-model.ts";
import { withZeroHeads } from "../../../onnx/test/models/zero-heads.ts";
import { relativeGap, smallExamples } from "../../test/small-examples.ts";
import { findBlocks } from "../blocks/find-blocks.ts";
import type { EncodedExample } from "../data/encode.ts";
import { feedsFor } from "../data/feeds.ts";
import { fedTo } from "./scoring-context.ts";
import { wandaScores } from "./wanda.ts";

const blocksOf = (graph: Graph) => findBlocks(graph, "model").blocks;
const scoresOf = (graph: Graph, examples: readonly EncodedExample[], batchSize = 8) =>
  wandaScores(graph, blocksOf(graph), examples, { engine: {}, seed: 0, batchSize });

/** Σ x² of every column of a layer's input over all tokens of all examples, from runs one by one. */
async function squares(graph: Graph, weight: string, examples: readonly EncodedExample[]): Promise<number[]> {
  const copy = graph.clone();
  const { node } = copy.uses(copy.value(weight)!)[0]!;
  const input = node!.inputs[0]!;
  copy.setOutputs([input]);
  const runner = await openRunner(copy);
  const sums: number[] = [];
  for (const example of examples) {
    const result = (await runner.run(fedTo(runner, feedsFor(graph, [example]).feeds)))[input.name]!;
    const width = result.shape.at(-1)!;
    Array.from(numbersOf(result), Number).forEach((x, i) => {
      sums[i % width] = (sums[i % width] ?? 0) + x * x;
    });
  }
  await runner.dispose();
  return sums;
}

/** Σ |w|·‖x‖ of the output rows of each query head. */
async function byHand(
  model: TransformerModel,
  { output, heads, headDim }: AttentionExpectation,
  examples: readonly EncodedExample[],
) {
  const sums = await squares(model.graph, output.weight, examples);
  const { data } = model.graph.value(output.weight)!;
  const numbers = Array.from(readNumbers(data!), Number);
  const width = data!.shape[1]!;
  return Array.from({ length: heads }, (_, head) => {
    let score = 0;
    for (
      let i = output.start + head * output.headStride;
      i < output.start + head * output.headStride + headDim;
      i++
    )
      for (let k = 0; k < width; k++) score += Math.abs(numbers[i * width + k]!) * Math.sqrt(sums[i]!);
    return score;
  });
}

describe("scores are |weight| · ‖activation‖ summed over a group", () => {
  test("heads of BERT", async () => {
    const model = bert({ head: "none" });
    const examples = smallExamples(model, 5);
    const scores = [...(await scoresOf(model.graph, examples)).values()];
    for (const [layer, attention] of model.attention.entries())
      expect(relativeGap(scores[layer]!, await byHand(model, attention, examples))).toBeLessThan(1e-5);
  });

  test("key–value heads of Llama: the rows of all their queries", async () => {
    const model = llama({ cache: "past" });
    const examples = smallExamples(model, 5);
    const scores = [...(await scoresOf(model.graph, examples)).values()];
    for (const [layer, attention] of model.attention.entries()) {
      const queries = await byHand(model, attention, examples);
      expect(
        relativeGap(scores[layer]!, [queries[0]! + queries[1]!, queries[2]! + queries[3]!]),
      ).toBeLessThan(1e-5);
    }
  });

  test("neurons and branches: the rows of the last weight, one by one and all together", async () => {
    const model = bert({ head: "none" });
    const examples = smallExamples(model, 4);
    const scores = await scoresOf(model.graph, examples);
    const ffn = blocksOf(model.graph).find(({ group }) => group === "ffn")!;
    const { tensor } = ffn.site.coupled.find(({ role }) => role === "consumer")!;
    const sums = await squares(model.graph, tensor, examples);
    const numbers = Array.from(readNumbers(model.graph.value(tensor)!.data!), Number);
    const rows = sums.map((sum, i) =>
      numbers.slice(i * 16, (i + 1) * 16).reduce((total, w) => total + Math.abs(w) * Math.sqrt(sum), 0),
    );
    expect(relativeGap(scores.get(ffn.name)!, rows)).toBeLessThan(1e-5);
    const branch = blocksOf(model.graph).find(
      ({ group, site }) => group === "layers" && site.tensor === tensor,
    )!;
    expect(relativeGap(scores.get(branch.name)!, [rows.reduce((a, b) => a + b)])).toBeLessThan(1e-5);
  });

  test("an output projection of two axes, as Keras' Einsum has", async () => {
    const { build } = patterns.find(({ name }) => name.startsWith("Keras"))!;
    const model = build();
    const examples = smallExamples(model, 3, [6]);
    const [scores] = (await scoresOf(model.graph, examples)).values();
    const [{ output, heads, headDim }] = model.attention as [AttentionExpectation];
    const copy = model.graph.clone();
    const input = copy.uses(copy.value(output.weight)!)[0]!.node!.inputs[0]!;
    copy.setOutputs([input]);
    const runner = await openRunner(copy);
    const sums = new Float64Array(heads * headDim);
    for (const example of examples) {
      const result = (await runner.run(fedTo(runner, feedsFor(copy, [example]).feeds)))[input.name]!;
      Array.from(numbersOf(result), Number).forEach((x, i) => (sums[i % sums.length]! += x * x));
    }
    await runner.dispose();
    const numbers = Array.from(readNumbers(model.graph.value(output.weight)!.data!), Number);
    const width = numbers.length / sums.length;
    const rows = Array.from(sums, (sum, i) =>
      numbers.slice(i * width, (i + 1) * width).reduce((t, w) => t + Math.abs(w) * Math.sqrt(sum), 0),
    );
    expect(
      relativeGap(
        scores!,
        Array.from({ length: heads }, (_, h) =>
          rows.slice(h * headDim, (h + 1) * headDim).reduce((a, b) => a + b),
        ),
      ),
    ).toBeLessThan(1e-5);
  });
});

test("padding does not count: scores do not depend on the size of batches", async () => {
  const model = bert({ head: "none" });
  const examples = smallExamples(model, 7);
  const [one, many] = [await scoresOf(model.graph, examples, 1), await scoresOf(model.graph, examples, 4)];
  for (const [name, values] of one) expect(relativeGap(many.get(name)!, [...values])).toBeLessThan(1e-5);
});

test("a head whose values or output rows are zero has score 0, the others have not", async () => {
  const model = bert({ head: "none" });
  for (const part of ["value", "output"] as const) {
    const graph = withZeroHeads(model, model.attention[1]!, part, [1]);
    const scores = (await scoresOf(graph, smallExamples(model, 2))).get(blocksOf(graph)[1]!.name)!;
    expect(Array.from(scores, (score) => score === 0)).toEqual([false, true, false, false]);
  }
});

const named = (name: string): TransformerModel =>
  transformerModels.find((each) => each.name === name)!.build();

test.each([
  "BERT of tf2onnx",
  "ALBERT, tied layers",
  "GPT-2 with stacked past",
  "OPT with past",
  "T5 decoder",
  "Whisper encoder",
  "timm ViT, simplified",
  "Swin",
])("%s: every group has a score", async (name) => {
  const model = named(name);
  const blocks = blocksOf(model.graph);
  const examples = smallExamples(model, 2, [4, 6]);
  const scores = await wandaScores(model.graph, blocks, examples, { engine: {}, seed: 0, batchSize: 1 });
  for (const { name: block, group } of blocks) {
    const values = scores.get(block)!;
    expect(values.every((score) => score >= 0 && Number.isFinite(score))).toBe(true);
    // A neuron behind a ReLU may be zero on all tokens; a head is not.
    const positive = values.filter((score) => score > 0).length;
    expect(positive).toBeGreaterThanOrEqual(group === "heads" ? values.length : 1);
  }
});

test("a graph with branches is refused, with what to do instead", async () => {
  const { graph } = named("GPT-2 merged");
  await expect(wandaScores(graph, [], [], { engine: {}, seed: 0, batchSize: 1 })).rejects.toMatchObject({
    code: "UNSUPPORTED",
    message: expect.stringContaining('take "l2" or "random"'),
  });
});
