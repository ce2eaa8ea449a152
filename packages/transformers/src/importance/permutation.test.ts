import { type Graph, readNumbers } from "@dgate/onnx";
import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { bert } from "../../../onnx/test/models/bert.ts";
import type { Projection, TransformerModel } from "../../../onnx/test/models/transformer-model.ts";
import { kinds, smallExamples, withNumbers } from "../../test/small-examples.ts";
import { findBlocks } from "../blocks/find-blocks.ts";
import { objectiveOf } from "../learn/objective.ts";
import { gradientScores } from "./gradient.ts";
import { l2Scores } from "./l2.ts";
import { lossOf } from "./prediction-loss.ts";
import { wandaScores } from "./wanda.ts";

/** The first layer's heads in another order: head h of the result is head `order[h]` of the model. */
function reordered(model: TransformerModel, order: readonly number[]): Graph {
  const { query, key, value, output, headDim } = model.attention[0]!;
  const moved = (graph: Graph, name: string, axis: number, { start, headStride }: Projection): Graph => {
    const columns = graph.value(name)!.data!.shape[1] ?? 1;
    // Elements of neighbouring indices of the axis are so far apart.
    const [stride, size] = axis === 0 ? [columns, Infinity] : [1, columns];
    return withNumbers(graph, name, (numbers) =>
      numbers.map((_, i) => {
        const at = Math.floor(i / stride) % size;
        const [head, j] = [Math.floor((at - start) / headStride), (at - start) % headStride];
        return numbers[i + (start + order[head]! * headStride + j - at) * stride]!;
      }),
    );
  };
  let graph = moved(model.graph, output.weight, output.axis, output);
  for (const part of [query, key!, value!]) {
    graph = moved(graph, part.weight, part.axis, part);
    if (part.bias !== undefined) graph = moved(graph, part.bias, 0, part);
  }
  expect(headDim * order.length).toBe(readNumbers(graph.value(value!.bias!)!.data!).length);
  return graph;
}

test("permuting heads permutes their scores and leaves all others", async () => {
  const model = bert({ head: "classifier" });
  const examples = smallExamples(model, 3);
  const scoresOf = async (graph: Graph) => {
    const { blocks } = findBlocks(graph, "model");
    const loss = lossOf(objectiveOf(graph, kinds.classes, examples, "labels"), kinds.classes);
    const context = { engine: {}, seed: 0 };
    return [
      l2Scores(graph, blocks),
      await wandaScores(graph, blocks, examples, { ...context, batchSize: 4 }),
      await gradientScores(graph, blocks, examples, { ...context, loss }),
    ].map((scores) => [...scores.values()]);
  };
  const before = await scoresOf(model.graph);
  await fc.assert(
    fc.asyncProperty(fc.shuffledSubarray([0, 1, 2, 3], { minLength: 4 }), async (order) => {
      const after = await scoresOf(reordered(model, order));
      after.forEach((blocks, method) =>
        blocks.forEach((scores, block) =>
          scores.forEach((score, group) => {
            const expected = before[method]![block]![block === 0 ? order[group]! : group]!;
            expect(Math.abs(score - expected)).toBeLessThan(1e-5 + 1e-4 * expected);
          }),
        ),
      );
    }),
    { numRuns: 4 },
  );
});
