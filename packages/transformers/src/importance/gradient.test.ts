import { randomGenerator } from "@dgate/core";
import { type Graph, numbersOf, openRunner } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { bert } from "../../../onnx/test/models/bert.ts";
import { llama } from "../../../onnx/test/models/llama.ts";
import { vit } from "../../../onnx/test/models/vit.ts";
import { withZeroHeads } from "../../../onnx/test/models/zero-heads.ts";
import { kinds, smallExamples } from "../../test/small-examples.ts";
import { findBlocks } from "../blocks/find-blocks.ts";
import type { EncodedExample } from "../data/encode.ts";
import { feedsFor } from "../data/feeds.ts";
import { liveGraph } from "../gates/live-graph.ts";
import type { Objective } from "../learn/learn-options.ts";
import { objectiveOf } from "../learn/objective.ts";
import type { Scores } from "../prune/choose-groups.ts";
import type { TaskKind } from "../source/task.ts";
import { gradientScores } from "./gradient.ts";
import { lossOf } from "./prediction-loss.ts";
import { fedTo } from "./scoring-context.ts";

const blocksOf = (graph: Graph) => findBlocks(graph, "model").blocks;

function scoresOf(
  graph: Graph,
  kind: TaskKind,
  examples: readonly EncodedExample[],
  wanted?: Objective,
  seed = 5,
) {
  const loss = lossOf(objectiveOf(graph, kind, examples, wanted), kind);
  return gradientScores(graph, blocksOf(graph), examples, { engine: {}, seed, loss });
}

/** −log softmax(row)[label]. */
function crossEntropy(row: readonly number[], label: number): number {
  const top = Math.max(...row);
  return Math.log(row.reduce((sum, x) => sum + Math.exp(x - top), 0)) - (row[label]! - top);
}

type LossOfLogits = (
  rows: readonly (readonly number[])[],
  example: EncodedExample,
  dense: readonly (readonly number[])[],
) => number;

/** Mean over examples of |central difference of the loss along each gate|, by running the gated model. */
async function differences(
  graph: Graph,
  examples: readonly EncodedExample[],
  output: string,
  loss: LossOfLogits,
) {
  const blocks = blocksOf(graph);
  const live = liveGraph(graph, blocks);
  const runner = await openRunner(live.graph);
  const step = 1e-2;
  const found = new Map(blocks.map(({ name, groups }) => [name, new Float64Array(groups)]));
  const rowsOf = async (
    example: EncodedExample,
    gates: Record<string, { data: number[]; shape: number[] }> = {},
  ) => {
    const result = (await runner.run({ ...fedTo(runner, feedsFor(graph, [example]).feeds), ...gates }))[
      output
    ]!;
    const [numbers, width] = [Array.from(numbersOf(result), Number), result.shape.at(-1)!];
    return Array.from({ length: numbers.length / width }, (_, r) =>
      numbers.slice(r * width, (r + 1) * width),
    );
  };
  for (const example of examples) {
    const dense = await rowsOf(example);
    for (const { name, groups } of blocks) {
      for (let group = 0; group < groups; group++) {
        const [up, down] = await Promise.all(
          [1 + step, 1 - step].map(async (value) => {
            const data = Array.from({ length: groups }, (_, g) => (g === group ? value : 1));
            return loss(
              await rowsOf(example, { [live.inputs.get(name)!]: { data, shape: [groups] } }),
              example,
              dense,
            );
          }),
        );
        found.get(name)![group]! += Math.abs(up! - down!) / (2 * step) / examples.length;
      }
    }
  }
  await runner.dispose();
  return found;
}

/** Largest difference of two sets of scores, as part of the largest score. */
function largestGap(scores: Scores, expected: Scores): number {
  const largest = Math.max(...[...expected.values()].map((values) => Math.max(...values)));
  const gaps = [...expected].flatMap(([name, values]) =>
    Array.from(
      values,
      (value, group) => Math.abs(value - (scores.get(name)?.[group] ?? Number.NaN)) / largest,
    ),
  );
  return scores.size === expected.size && largest > 1e-3 ? Math.max(...gaps) : Number.NaN;
}

const own: LossOfLogits = ([row], _, [dense]) => crossEntropy(row!, dense!.indexOf(Math.max(...dense!)));

const ownMean: LossOfLogits = (rows, _, dense) =>
  rows.reduce((sum, row, t) => sum + crossEntropy(row, dense[t]!.indexOf(Math.max(...dense[t]!))), 0) /
  rows.length;

const nextTokenMean: LossOfLogits = (rows, { tokens }) => {
  const ids = tokens["input_ids"]!;
  return ids.slice(1).reduce((sum, id, t) => sum + crossEntropy(rows[t]!, id), 0) / (ids.length - 1);
};

describe("the score of a group is the mean size of the central difference of the loss along its gate", () => {
  test("labels: heads, neurons and branches of a classifier", async () => {
    const model = bert({ head: "classifier", norm: "op" });
    const examples = smallExamples(model, 4);
    const scores = await scoresOf(model.graph, kinds.classes, examples, "labels");
    expect(blocksOf(model.graph).map(({ group }) => group)).toEqual([
      "heads",
      "heads",
      "ffn",
      "ffn",
      "layers",
      "layers",
      "layers",
      "layers",
    ]);
    expect(
      largestGap(
        scores,
        await differences(model.graph, examples, "logits", ([row], { label }) => crossEntropy(row!, label!)),
      ),
    ).toBeLessThan(5e-3);
  });

  test("distill: a classifier's own prediction is the label", async () => {
    const model = vit();
    const examples = smallExamples(model, 3);
    const scores = await scoresOf(model.graph, kinds.images, examples);
    expect(largestGap(scores, await differences(model.graph, examples, "logits", own))).toBeLessThan(5e-3);
  });

  test("next-token: grouped queries, gated feed-forward layers, a cache", async () => {
    const model = llama({ cache: "past" });
    const examples = smallExamples(model, 3);
    const scores = await scoresOf(model.graph, kinds.language, examples, "next-token");
    expect(
      largestGap(scores, await differences(model.graph, examples, "logits", nextTokenMean)),
    ).toBeLessThan(5e-3);
  });

  test("distill of a language model: every position's own prediction", async () => {
    const model = llama();
    const examples = smallExamples(model, 2);
    const scores = await scoresOf(model.graph, kinds.language, examples);
    expect(largestGap(scores, await differences(model.graph, examples, "logits", ownMean))).toBeLessThan(
      5e-3,
    );
  });

  test("distill of hidden states: one random direction for each example", async () => {
    const model = bert({ head: "none" });
    const examples = smallExamples(model, 3);
    const scores = await scoresOf(model.graph, kinds.hidden, examples, "distill", 9);
    const random = randomGenerator(9);
    const directions = examples.map(({ tokens }) => {
      const count = tokens["input_ids"]!.length * 16;
      return Array.from({ length: count }, () => random.normal() / Math.sqrt(count));
    });
    const along: LossOfLogits = (rows, { index }) =>
      rows.flat().reduce((sum, y, i) => sum + y * directions[index]![i]!, 0);
    expect(
      largestGap(scores, await differences(model.graph, examples, "last_hidden_state", along)),
    ).toBeLessThan(5e-3);
  });

  test("embedding: the mean of the states, of length 1", async () => {
    const model = bert({ head: "none" });
    const examples = smallExamples(model, 3);
    const scores = await scoresOf(model.graph, kinds.hidden, examples, "embedding", 9);
    const random = randomGenerator(9);
    const directions = examples.map(() => Array.from({ length: 16 }, () => random.normal()));
    const along: LossOfLogits = (rows, { index }) => {
      const mean = rows[0]!.map((_, k) => rows.reduce((sum, row) => sum + row[k]!, 0));
      return mean.reduce((sum, x, k) => sum + x * directions[index]![k]!, 0) / Math.hypot(...mean);
    };
    expect(
      largestGap(scores, await differences(model.graph, examples, "last_hidden_state", along)),
    ).toBeLessThan(5e-3);
  });
});

test("a head whose output rows are zero has score 0, the others have not", async () => {
  const model = bert({ head: "classifier" });
  const [layer] = model.attention;
  const graph = withZeroHeads(model, layer!, "output", [2]);
  const scores = await scoresOf(graph, kinds.classes, smallExamples(model, 2), "labels");
  const heads = scores.get(blocksOf(graph)[0]!.name)!;
  expect(Array.from(heads, (score) => score === 0)).toEqual([false, false, true, false]);
});

test("texts without a next token are left out, and said where there is no other", async () => {
  const model = llama();
  const [long, short] = smallExamples(model, 2, [4, 1]);
  const alone = await scoresOf(model.graph, kinds.language, [long!], "next-token");
  expect(await scoresOf(model.graph, kinds.language, [long!, short!], "next-token")).toEqual(alone);
  await expect(scoresOf(model.graph, kinds.language, [short!], "next-token")).rejects.toMatchObject({
    code: "DATA",
  });
});

test("a graph with branches is refused, with what to do instead", async () => {
  const { graph } = llama({ cache: "merged" });
  const loss = lossOf(objectiveOf(graph, kinds.language, []), kinds.language);
  await expect(gradientScores(graph, [], [], { engine: {}, seed: 0, loss })).rejects.toMatchObject({
    code: "UNSUPPORTED",
    message: expect.stringContaining('take "l2" or "random"'),
  });
});
