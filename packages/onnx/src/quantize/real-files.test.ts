import { existsSync } from "node:fs";
import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { checkGraph } from "../graph/check-graph.ts";
import { readModelFile } from "../node.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "../prune/prune.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { quantizeBlocks } from "./quantize-blocks.ts";
import { quantizeDynamic } from "./quantize-dynamic.ts";

const folder = dataFolder();

/** Largest differences of logits relative to their scale, and how much of its bytes the model keeps. */
const files = [
  { file: "bert-mini-sst2/onnx/model.onnx", int8: [0.03, 0.26], q4: [0.05, 0.23] },
  { file: "vit-cifar10-pgd-2-3-16/model.onnx", int8: [0.03, 0.65], q4: [0.2, 0.62] },
  { file: "tinyllamas/stories260K/onnx/model.onnx", int8: [0.2, 0.27], q4: [0.6, 0.18] },
] as const;

describe.skipIf(folder === undefined)("models from elsewhere", () => {
  const present = files.filter(({ file }) => existsSync(join(folder!, "models", file)));

  test.each(present)(
    "$file: int8 and q4 are smaller and near, before and after half of it is pruned",
    async ({ file, int8, q4 }) => {
      const whole = await readModelFile(join(folder!, "models", file));
      const half = prune(whole, planFrom(findSites(whole), { sparsity: 0.5 })).graph;
      for (const graph of [whole, half]) {
        for (const [[limit, share], { graph: small, report }] of [
          [int8, quantizeDynamic(graph)],
          [q4, quantizeBlocks(graph, { operators: ["MatMul", "Gemm", "Gather"] })],
        ] as const) {
          checkGraph(small);
          // Of a smaller model what stays float32 is a larger part.
          const part = graph === whole ? share : 1;
          expect(report.sizeBytes.after / report.sizeBytes.before).toBeLessThan(part);
          for (const runtime of ["node", "web"] as const)
            expect((await verify(graph, small, { runtime, runs: 2 })).maxRelDiff).toBeLessThan(limit);
        }
      }
    },
    120_000,
  );
});
