import type { Graph } from "@dgate/onnx";
import { expect, test } from "vitest";
import { gpt2 } from "../../../onnx/test/models/gpt2.ts";
import { llama } from "../../../onnx/test/models/llama.ts";
import { kinds, relativeGap, smallExamples } from "../../test/small-examples.ts";
import { findBlocks } from "../blocks/find-blocks.ts";
import type { EncodedExample } from "../data/encode.ts";
import { objectiveOf } from "../learn/objective.ts";
import { firstStep } from "./first-step.ts";
import { gradientScores } from "../importance/gradient.ts";
import { lossOf } from "../importance/prediction-loss.ts";
import { wandaScores } from "../importance/wanda.ts";

async function scoresOf(whole: Graph, examples: readonly EncodedExample[]): Promise<Float64Array[]> {
  const blocks = findBlocks(whole, "model").blocks.filter(({ group }) => group !== "layers");
  const step = firstStep({ graph: whole, blocks }, "test");
  expect(step.blocks.map(({ name }) => name)).toEqual(blocks.map(({ name }) => name));
  const loss = lossOf(objectiveOf(step.graph, kinds.language, examples, "next-token"), kinds.language);
  const context = { engine: {}, seed: 0 };
  return [
    ...(await wandaScores(step.graph, step.blocks, examples, { ...context, batchSize: 2 })).values(),
    ...(await gradientScores(step.graph, step.blocks, examples, { ...context, loss })).values(),
  ];
}

// The test models hold the same weights in every form.
test.each([
  { name: "GPT-2", build: gpt2 },
  { name: "Llama", build: llama },
])("$name: a merged decoder has the scores of the one that is not merged", async ({ build }) => {
  const plain = build({});
  const examples = smallExamples(plain, 2);
  const expected = await scoresOf(plain.graph, examples);
  const merged = await scoresOf(build({ cache: "merged" }).graph, examples);
  expect(merged.length).toBe(expected.length);
  const gaps = expected.map((values, block) => relativeGap(merged[block]!, values));
  expect(Math.max(...gaps)).toBeLessThan(1e-3);
});

test("a graph without branches stays as it is", () => {
  const { graph } = llama({ cache: "past" });
  const { blocks } = findBlocks(graph, "model");
  const step = firstStep({ graph, blocks }, "test");
  expect(step.graph).toBe(graph);
  expect(step.blocks).toBe(blocks);
});

test("a block that the first step lacks is named, and how to do without", () => {
  const { graph } = gpt2({ cache: "merged" });
  const [block] = findBlocks(graph, "model").blocks;
  const absent = { ...block!, name: "nowhere" };
  expect(() => firstStep({ graph, blocks: [absent] }, "learn")).toThrow(
    'learn: the first step of the merged decoder has no "nowhere"; rank its groups by the importance "l2" or "random"',
  );
});
