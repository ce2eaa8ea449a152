import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { readModel } from "../io/read.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { mask } from "./mask.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "./prune.ts";

/** Models that nobody here wrote, pruned by half; parameters before and after by hand from their layers. */
const files = [
  // 5·5 kernels 1→8→16, then 256→10: after, 1→4→8, then 128→10.
  { file: "onnx-structures/mnist.onnx", before: 5994, after: 4 * 25 + 4 + 8 * 4 * 25 + 8 + 128 * 10 + 10 },
  // 5·5 kernels 1→10→20, then 320→50→10.
  {
    file: "onnx-structures/cnn_mnist_pytorch.onnx",
    before: 21840,
    after: 5 * 26 + 10 * 126 + 160 * 25 + 25 + 25 * 10 + 10,
  },
];

const folder = dataFolder();

describe.skipIf(folder === undefined)("models from elsewhere", () => {
  test.each(files)(
    "$file: half of every site goes, masked equals pruned",
    async ({ file, before, after }) => {
      const graph = readModel(readFileSync(join(folder!, file)));
      const plan = planFrom(findSites(graph), { sparsity: 0.5 });
      const { graph: pruned, report } = prune(graph, plan);
      expect([report.before.parameters, report.after.parameters]).toEqual([before, after]);
      expect(report.keptBack).toEqual([]);
      const masked = mask(graph, plan);
      expect((await verify(masked, pruned)).maxRelDiff).toBeLessThan(1e-6);
      expect((await verify(graph, masked)).equal).toBe(false);
    },
  );

  const transformers = [
    "onnx-structures/bert_toy_optimized.onnx",
    "models/tinyllamas/stories260K/onnx/model.onnx",
  ];
  test.each(transformers)("%s: what is prunable goes, masked equals pruned", async (file) => {
    if (!existsSync(join(folder!, file))) return;
    const graph = readModel(readFileSync(join(folder!, file)));
    const plan = planFrom(findSites(graph), { sparsity: 0.5 });
    const { graph: pruned, report } = prune(graph, plan);
    expect(report.after.macs).toBeLessThan(0.75 * report.before.macs);
    const masked = mask(graph, plan);
    const { inputs, outputs } = report;
    expect((await verify(masked, pruned, { runs: 2, inputs, outputs })).maxRelDiff).toBeLessThan(1e-5);
    expect((await verify(graph, masked, { runs: 1 })).equal).toBe(false);
  });
});
