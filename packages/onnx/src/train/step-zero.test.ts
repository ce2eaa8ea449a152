import { findSites, type Graph } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { bigram, mlp, normals, summed } from "../../test/train/nets.ts";
import {
  plainCrossEntropy,
  plainKl,
  plainNextToken,
  plainSquares,
  rowsOf,
} from "../../test/train/plain-losses.ts";
import { float64Feeds, float64Outputs } from "../../test/train/training-step.ts";
import { readNumbers } from "../io/tensor-data.ts";
import { crossEntropy, distill, type Loss, meanSquaredError, nextToken, outputLoss } from "./loss.ts";
import { openTrainer } from "./trainer.ts";
import type { TrainerOptions } from "./trainer-options.ts";

type Arrays = Readonly<
  Record<string, { readonly data: ArrayLike<number>; readonly shape: readonly number[] }>
>;

/** The loss of the first step, with which nothing has moved yet. */
async function firstLoss(graph: Graph, batch: Arrays, options: Partial<TrainerOptions> & { loss: Loss }) {
  const trainer = await openTrainer(graph, { sites: findSites(graph), ...options });
  const { losses } = await trainer.fit([batch]);
  await trainer.dispose();
  return losses[0]!;
}

const denseRows = (graph: Graph, batch: Arrays): number[][] =>
  rowsOf([...float64Outputs(graph, float64Feeds(graph, batch))(new Map()).values()][0]!);

const x = { data: normals(5, 6 * 8), shape: [6, 8] };
const labels = [0, 2, -100, 1, 1, 2];
const tokens = [1, 4, 0, 6, 2, 3, 5, 5, 0, 0];
const mask = [1, 1, 1, 1, 1, 1, 1, 1, 0, 0];
const shape = [2, 5];

describe.each([2, 3, 4])(
  "before the first step, with depth %i, the training graph's loss is that of the dense model:",
  (depth) => {
    test("crossEntropy, with labels that do not count", async () => {
      const graph = mlp();
      const got = await firstLoss(
        graph,
        { x, labels: { data: labels, shape: [6] } },
        { loss: crossEntropy(), depth },
      );
      expect(got).toBeCloseTo(plainCrossEntropy(denseRows(graph, { x }), labels), 5);
    });

    test("nextToken, with and without a mask", async () => {
      const graph = bigram();
      const ids = { data: tokens, shape };
      const rows = denseRows(graph, { input_ids: ids });
      const bare = await firstLoss(graph, { input_ids: ids }, { loss: nextToken(), depth });
      expect(bare).toBeCloseTo(plainNextToken(rows, tokens, 5), 5);
      const masked = await firstLoss(
        graph,
        { input_ids: ids, flags: { data: mask, shape } },
        { loss: nextToken({ mask: "flags" }), depth },
      );
      expect(masked).toBeCloseTo(plainNextToken(rows, tokens, 5, mask), 5);
    });

    test("meanSquaredError", async () => {
      const graph = mlp();
      const targets = { data: normals(9, 18), shape: [6, 3] };
      const got = await firstLoss(graph, { x, targets }, { loss: meanSquaredError(), depth });
      expect(got).toBeCloseTo(
        plainSquares(denseRows(graph, { x }), rowsOf(float64Feeds(graph, { targets })["targets"]!)),
        4,
      );
    });

    test("distill: nothing, of the teacher's own outputs", async () => {
      const graph = bigram();
      const batch = { input_ids: { data: tokens, shape }, flags: { data: mask, shape } };
      for (const kind of ["kl", "mse"] as const) {
        const got = await firstLoss(graph, batch, {
          loss: distill({ kind, temperature: 3, mask: "flags" }),
          depth,
        });
        expect(Math.abs(got)).toBeLessThan(1e-6);
      }
    });

    test("outputLoss", async () => {
      const graph = summed();
      const got = await firstLoss(graph, { x }, { loss: outputLoss(), depth });
      expect(got).toBeCloseTo(denseRows(graph, { x })[0]![0]!, 4);
    });

    test("and the gates start at balance", async () => {
      const graph = mlp();
      const trainer = await openTrainer(graph, { sites: findSites(graph), loss: crossEntropy(), depth });
      const gates = trainer.parameters.filter(({ kind }) => kind === "gate");
      expect(gates).toHaveLength(2 * (depth - 1));
      const [set] = await trainer.norms();
      const gated = await trainer.gated();
      const primary = readNumbers(gated.value("fc1/kernel")!.data!);
      set!.norms.forEach((norm, j) => {
        const column = Array.from({ length: 8 }, (_, i) => primary[i * 16 + j]!);
        expect(Math.hypot(...column)).toBeCloseTo(norm ** (1 / depth), 5);
        for (const { initial } of gates.slice(0, depth - 1)) {
          expect(initial()[j]).toBeCloseTo(norm ** (1 / depth), 5);
        }
      });
      await trainer.dispose();
    });
  },
);

test("the plain losses are those of the equations", () => {
  expect(plainCrossEntropy([[0, Math.log(3)]], [1])).toBeCloseTo(-Math.log(0.75), 12);
  expect(plainKl([[0, 0]], [[0, Math.log(3)]], 1)).toBeCloseTo(
    0.25 * Math.log(0.5) + 0.75 * Math.log(1.5),
    12,
  );
});
