import { type Graph, readNumbers } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { bert } from "../../../onnx/test/models/bert.ts";
import { llama } from "../../../onnx/test/models/llama.ts";
import { transformerModels } from "../../../onnx/test/models/models.ts";
import type { Projection, TransformerModel } from "../../../onnx/test/models/transformer-model.ts";
import { withZeroHeads } from "../../../onnx/test/models/zero-heads.ts";
import { relativeGap, withNumbers } from "../../test/small-examples.ts";
import { findBlocks } from "../blocks/find-blocks.ts";
import { l2Scores } from "./l2.ts";

const blocksOf = (graph: Graph) => findBlocks(graph, "model").blocks;
const scoresOf = (graph: Graph) => l2Scores(graph, blocksOf(graph));

/** Σ w² of a head's slice of a projection `[in, out]`. */
function squares(
  graph: Graph,
  { weight, axis, start, headStride }: Projection,
  head: number,
  headDim: number,
): number {
  const { data } = graph.value(weight)!;
  const columns = data!.shape[1]!;
  const first = start + head * headStride;
  return Array.from(readNumbers(data!), Number)
    .filter((_, i) => {
      const at = axis === 0 ? Math.floor(i / columns) : i % columns;
      return at >= first && at < first + headDim;
    })
    .reduce((sum, w) => sum + w * w, 0);
}

describe("scores are norms of weights", () => {
  test("heads: columns of V and rows of O", () => {
    const model = bert({ head: "none" });
    const scores = [...scoresOf(model.graph).values()];
    model.attention.forEach(({ value, output, heads, headDim }, layer) => {
      const expected = Array.from({ length: heads }, (_, head) =>
        Math.sqrt(squares(model.graph, value!, head, headDim) + squares(model.graph, output, head, headDim)),
      );
      expect(relativeGap(scores[layer]!, expected)).toBeLessThan(1e-5);
    });
  });

  test("key–value heads: their columns of V, and rows of O of all their queries", () => {
    const model = llama();
    const scores = [...scoresOf(model.graph).values()];
    model.attention.forEach(({ value, output, headDim }, layer) => {
      const expected = [0, 1].map((head) =>
        Math.sqrt(
          squares(model.graph, value!, head, headDim) +
            squares(model.graph, output, 2 * head, headDim) +
            squares(model.graph, output, 2 * head + 1, headDim),
        ),
      );
      expect(relativeGap(scores[layer]!, expected)).toBeLessThan(1e-5);
    });
  });

  test("neurons of a gated feed-forward layer: columns of gate and up, rows of down", () => {
    const { graph } = llama();
    const block = blocksOf(graph).find(({ group }) => group === "ffn")!;
    const nodeOf = (part: string) =>
      graph.nodes("MatMul").find(({ name }) => name.includes(`layers.0/mlp/${part}`))!;
    const numbersOf = (part: string) => Array.from(readNumbers(nodeOf(part).inputs[1]!.data!), Number);
    const [gate, up, down] = ["gate_proj", "up_proj", "down_proj"].map(numbersOf);
    const expected = Array.from({ length: 24 }, (_, n) => {
      const columns = [gate!, up!].flatMap((numbers) => numbers.filter((__, i) => i % 24 === n));
      return Math.hypot(...columns, ...down!.slice(n * 16, (n + 1) * 16));
    });
    expect(relativeGap(scoresOf(graph).get(block.name)!, expected)).toBeLessThan(1e-5);
  });
});

test("a head without values and output rows has score 0, the others have not", () => {
  const model = bert({ head: "none" });
  const [layer] = model.attention;
  const without = (given: TransformerModel, part: "value" | "output") => ({
    ...given,
    graph: withZeroHeads(given, layer!, part, [3]),
  });
  const { graph } = without(without(model, "value"), "output");
  const [scores] = scoresOf(graph).values();
  expect(Array.from(scores!, (score) => score === 0)).toEqual([false, false, false, true]);
});

test("a head whose weights grow twofold has twice the score; its queries and keys do not count", () => {
  const model = bert({ head: "none" });
  const [{ value, output, query, key, headDim }] = model.attention as [(typeof model.attention)[number]];
  const scaled = ({ weight, axis, start, headStride }: Projection, graph: Graph): Graph => {
    const columns = graph.value(weight)!.data!.shape[1]!;
    const first = start + 2 * headStride;
    return withNumbers(graph, weight, (numbers) =>
      numbers.map((w, i) => {
        const at = axis === 0 ? Math.floor(i / columns) : i % columns;
        return at >= first && at < first + headDim ? 2 * w : w;
      }),
    );
  };
  const [before] = scoresOf(model.graph).values();
  const [after] = scoresOf(scaled(output, scaled(value!, model.graph))).values();
  expect(
    relativeGap(
      after!,
      Array.from(before!, (score, head) => (head === 2 ? 2 * score : score)),
    ),
  ).toBeLessThan(1e-5);
  const [same] = scoresOf(scaled(query, scaled(key!, model.graph))).values();
  expect(relativeGap(same!, [...before!])).toBeLessThan(1e-5);
});

test.each(["GPT-2 merged", "GPT-2", "T5 decoder with past", "Swin", "timm ViT, simplified"])(
  "%s: every group has a score above 0",
  (name) => {
    const { graph } = transformerModels.find((each) => each.name === name)!.build();
    const blocks = blocksOf(graph);
    const scores = l2Scores(graph, blocks);
    expect([...scores.keys()]).toEqual(blocks.map((block) => block.name));
    expect([...scores.values()].every((values) => values.every((score) => score > 0))).toBe(true);
  },
);
