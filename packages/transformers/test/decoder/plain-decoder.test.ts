import { mask, numbersOf, openRunner, planFrom, writeModel } from "@dgate/onnx";
import { expect, test } from "vitest";
import { gpt2 } from "../../../onnx/test/models/gpt2.ts";
import { llama } from "../../../onnx/test/models/llama.ts";
import { opt } from "../../../onnx/test/models/small-decoders.ts";
import { t5Decoder } from "../../../onnx/test/models/t5.ts";
import { feedsOf, type TransformerModel } from "../../../onnx/test/models/transformer-model.ts";
import { whisperDecoder } from "../../../onnx/test/models/whisper.ts";
import { findBlocks } from "../../src/blocks/find-blocks.ts";
import { plainDecoder } from "../../src/decoder/plain-decoder.ts";

const decoders: readonly (readonly [string, () => TransformerModel])[] = [
  ["Llama", () => llama({ cache: "merged", useCache: false })],
  ["GPT-2", () => gpt2({ cache: "merged", useCache: false })],
  ["OPT", () => opt({ cache: "merged", useCache: false })],
  ["T5", () => t5Decoder({ cache: "merged", useCache: false })],
  ["Whisper", () => whisperDecoder({ cache: "merged", useCache: false })],
];

const described = (graph: TransformerModel["graph"], group: string) =>
  findBlocks(graph, "decoder")
    .blocks.filter((block) => block.group === group)
    .map(({ name, groups }) => `${name} ${groups}`);

test.each(decoders)(
  "%s: heads and neurons of the first step are those of the merged decoder, by name",
  (_, build) => {
    const { graph } = build();
    const plain = plainDecoder(graph).graph;
    for (const group of ["heads", "ffn"]) {
      expect(described(graph, group).length).toBeGreaterThan(1);
      expect(described(plain, group)).toEqual(described(graph, group));
    }
  },
);

test.each(decoders)("%s: what the first step learns, the merged decoder computes", async (_, build) => {
  const model = build();
  const { graph, restore } = plainDecoder(model.graph);
  const { blocks } = findBlocks(graph, "decoder");
  // Any other weights will do: those of a copy without half of its heads.
  const kept = blocks.filter(({ group }) => group === "heads").map(({ name }) => [name, [0]] as const);
  const trained = mask(
    graph,
    planFrom(
      blocks.map(({ site }) => site),
      { kept: Object.fromEntries(kept) },
    ),
  );
  const merged = restore(trained);
  const [before, after, wanted] = [
    await logitsOf(model.graph, model),
    await logitsOf(merged, model),
    await logitsOf(trained, model),
  ];
  // Within a branch the runtime fuses other nodes.
  expect(largestDifference(after, wanted)).toBeLessThan(1e-5);
  expect(largestDifference(after, before)).toBeGreaterThan(1e-2);
});

async function logitsOf(graph: TransformerModel["graph"], model: TransformerModel) {
  const runner = await openRunner(writeModel(graph));
  const names = new Set(graph.requiredInputs.map(({ name }) => name));
  const feeds = Object.entries(feedsOf(model, 3)).filter(([name]) => names.has(name));
  const { logits } = await runner.run(Object.fromEntries(feeds));
  await runner.dispose();
  return [...numbersOf(logits!)];
}

const largestDifference = (a: readonly number[], b: readonly number[]): number =>
  a.reduce((most, value, i) => Math.max(most, Math.abs(value - b[i]!)), 0);

test("a graph without branches is its own plain form", () => {
  const { graph } = llama();
  expect(plainDecoder(graph).graph).toBe(graph);
  expect(plainDecoder(graph).restore(graph)).toBe(graph);
});
