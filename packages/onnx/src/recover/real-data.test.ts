import { readFileSync } from "node:fs";
import { join } from "node:path";
import { gunzipSync } from "node:zlib";
import { dataFolder } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import type { Graph } from "../graph/graph.ts";
import { readModel } from "../io/read.ts";
import { writeModel } from "../io/write.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "../prune/prune.ts";
import { openRunner } from "../runtime/open-runner.ts";
import { numbersOf } from "../runtime/run-tensor.ts";
import { findSites } from "../sites/find-sites.ts";
import type { Batch } from "./batches.ts";
import { recover } from "./recover.ts";

const folder = dataFolder();
const testImages = 500;

const idx = (name: string): Uint8Array => gunzipSync(readFileSync(join(folder!, "mnist", name)));

/** Image `i` with pixels in 0–1, as the only image of a batch. */
function image(pixels: Uint8Array, i: number) {
  const data = Float32Array.from(pixels.subarray(16 + 784 * i, 16 + 784 * (i + 1)), (value) => value / 255);
  return { data, shape: [1, 1, 28, 28] };
}

/** Percent of the first test images that get the right label. */
async function accuracy(graph: Graph, input: string): Promise<number> {
  const [pixels, labels] = [idx("t10k-images-idx3-ubyte.gz"), idx("t10k-labels-idx1-ubyte.gz")];
  const runner = await openRunner(writeModel(graph));
  let right = 0;
  for (let i = 0; i < testImages; i++) {
    const [scores] = Object.values(await runner.run({ [input]: image(pixels, i) }));
    const numbers = numbersOf(scores!);
    if (numbers.indexOf(Math.max(...numbers)) === labels[8 + i]) right += 1;
  }
  await runner.dispose();
  return (100 * right) / testImages;
}

describe.skipIf(folder === undefined)("trained networks of others", () => {
  test.each(["cnn_mnist_pytorch.onnx", "mnist.onnx"])(
    "%s: half of every site goes, 200 images without labels bring the accuracy back",
    async (file) => {
      const dense = readModel(readFileSync(join(folder!, "onnx-structures", file)));
      const input = dense.requiredInputs[0]!.name;
      const pixels = idx("train-images-idx3-ubyte.gz");
      const batches = (from: number, count: number): Batch[] =>
        Array.from({ length: count }, (_, i) => ({ [input]: image(pixels, from + i) }));
      const pruned = prune(dense, planFrom(findSites(dense), { sparsity: 0.5 }));
      const { graph, report } = await recover(dense, pruned, batches(0, 200), {
        validation: batches(1000, 50),
      });
      expect(report.skipped).toEqual([]);
      expect(report.layers.every(({ taken }) => taken)).toBe(true);
      expect(report.validation!.outputErrorAfter).toBeLessThan(0.3 * report.validation!.outputErrorBefore);
      const [whole, lost, back] = [
        await accuracy(dense, input),
        await accuracy(pruned.graph, input),
        await accuracy(graph, input),
      ];
      expect(whole).toBeGreaterThan(96);
      expect(lost).toBeLessThan(80);
      expect(back).toBeGreaterThan(90);
    },
    60_000,
  );
});
