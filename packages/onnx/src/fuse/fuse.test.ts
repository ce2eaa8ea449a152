import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { bert } from "../../test/models/bert.ts";
import { transformerModels } from "../../test/models/models.ts";
import { feedsOf, type TransformerModel } from "../../test/models/transformer-model.ts";
import { outputDifference, outputsOf } from "../../test/same-outputs.ts";
import type { Graph } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { readModel } from "../io/read.ts";
import { gatherTensor } from "../io/tensor-data.ts";
import { planFrom } from "../plan/plan-from.ts";
import { mask } from "../prune/mask.ts";
import { prune } from "../prune/prune.ts";
import { findAttention } from "../sites/attention.ts";
import { countCosts } from "../sites/count-costs.ts";
import { findSites } from "../sites/find-sites.ts";
import { graphsWithin } from "../training-form/subgraphs.ts";
import { verify } from "../verify/verify.ts";
import { fuse, type FuseOptions } from "./fuse.ts";

const old: FuseOptions = {
  attention: "Attention",
  sums: true,
  targets: [
    { provider: "cpu", version: "1.14.0" },
    { provider: "wasm", version: "1.14.0" },
  ],
};
const forms: readonly (readonly [name: string, options: FuseOptions])[] = [
  ["by default", { sums: true }],
  ["for onnxruntime 1.30", { targets: [{ provider: "cpu", version: "1.30.0" }] }],
  ["for onnxruntime 1.14", old],
];

const opsOf = (graph: Graph) =>
  graphsWithin(graph)
    .flatMap((each) => each.nodes())
    .map(({ op }) => op);

/** Fuses and compares all outputs. */
async function fuseAndProve(graph: Graph, feeds: Readonly<Record<string, Tensor>>, options: FuseOptions) {
  const before = String(graph);
  const { graph: fused, report } = fuse(graph, options);
  expect(String(graph)).toBe(before);
  const difference = outputDifference(await outputsOf(fused, feeds), await outputsOf(graph, feeds));
  expect(difference).toBeLessThan(1e-4);
  return { fused, report };
}

describe.each(transformerModels)("$name", ({ name, build }) => {
  test.each(forms)("fused %s computes the same", async (_, options) => {
    const model = build();
    const { report } = await fuseAndProve(model.graph, feedsOf(model, 1), options);
    expect(report.fused.length).toBeGreaterThan(0);
  });

  test("every attention layer is fused or has a reason, and no softmax of a fused one is left", async () => {
    const { graph } = build();
    const { graph: fused, report } = fuse(graph);
    const layers = opsOf(graph).filter((op) => op === "Softmax").length;
    const [done, left] = [report.fused, report.skipped].map(
      (places) => places.filter(({ pattern }) => pattern === "attention").length,
    );
    expect(done! + left!).toBe(layers);
    expect(opsOf(fused).filter((op) => op === "Softmax")).toHaveLength(left!);
    expect(left).toBe(name === "Swin" ? 1 : 0);
  });

  test("with half of the heads of one layer gone it computes what the pruned model does", async () => {
    const model = build();
    const heads = findSites(model.graph).filter(
      ({ kind, prunable }) => kind === "heads" && prunable === true,
    );
    const plan = planFrom(findSites(model.graph), { sparsity: 0.5, sites: [heads[0]!.name] });
    const { graph: pruned, report } = prune(model.graph, plan);
    const feeds = cutFeeds(model, report.inputs);
    const { fused, report: done } = await fuseAndProve(pruned, feeds, {});
    expect(findAttention(fused).map((layer) => [layer.heads, layer.headDim])).toEqual(
      findAttention(pruned).map((layer) => [layer.heads, layer.headDim]),
    );
    const left = done.skipped.filter(({ pattern }) => pattern === "attention");
    expect(left).toHaveLength(name === "Swin" ? 1 : 0);
  });
});

/** Feeds without the heads of a cache that went. */
function cutFeeds(model: TransformerModel, cuts: ReturnType<typeof prune>["report"]["inputs"]) {
  const feeds = feedsOf(model, 2);
  for (const { name, axis, kept, mode } of cuts)
    if (mode === "resize") feeds[name] = gatherTensor(feeds[name]!, axis, kept);
  return feeds;
}

describe("BERT", () => {
  test("counts the same multiply–adds and the same attention layers when it is fused", () => {
    const { graph } = bert();
    const dims = { batch_size: 2, sequence_length: 6 };
    for (const attention of ["MultiHeadAttention", "Attention"] as const) {
      const { graph: fused } = fuse(graph, { attention });
      expect(countCosts(fused, dims).macs).toBe(countCosts(graph, dims).macs);
      expect(findAttention(fused)).toMatchObject([
        { heads: 4, kvHeads: 4, headDim: 4, prunable: true },
        { heads: 4, kvHeads: 4, headDim: 4, prunable: true },
      ]);
    }
  });

  test.each(forms)("fused %s its layers can be pruned on, each by itself", async (_, options) => {
    const { graph } = bert();
    // The nodes of a file need not have names.
    for (const node of graph.nodes()) Object.assign(node, { name: "" });
    const { graph: fused } = fuse(graph, options);
    const names = findSites(fused).flatMap(({ kind, prunable, name }) =>
      kind === "heads" && prunable === true ? [name] : [],
    );
    expect(names).toHaveLength(2);
    const plan = planFrom(findSites(fused), { sparsity: 0.5, sites: [names[1]!] });
    const { graph: pruned } = prune(fused, plan);
    expect(findAttention(pruned).map(({ heads }) => heads)).toEqual([4, 2]);
    expect((await verify(mask(fused, plan), pruned)).maxRelDiff).toBeLessThan(1e-5);
  });

  test("leaves attention layers, normalisations and Gelus as they are where they are not asked for", () => {
    const { graph } = bert();
    const { graph: same, report } = fuse(graph, { attention: false, norms: false, gelus: false });
    expect(String(same)).toBe(String(graph));
    expect(report).toEqual({ fused: [], skipped: [] });
  });

  test("says which target lacks an operator", () => {
    const { report } = fuse(bert().graph, { targets: [{ provider: "wasm", version: "1.14.0" }] });
    expect(report.skipped[0]).toEqual({
      pattern: "attention",
      node: "/bert/encoder/layer.0/attention/self/Softmax",
      reason: "onnxruntime 1.14.0 on wasm has no MultiHeadAttention",
    });
  });

  test("refuses a target and an operator that are none", () => {
    const { graph } = bert();
    expect(() => fuse(graph, { targets: [] })).toThrow(expect.objectContaining({ code: "OPTION" }));
    expect(() => fuse(graph, { targets: [{ provider: "cpu", version: "new" }] })).toThrow(/target/);
    expect(() => fuse(graph, { attention: "GroupQueryAttention" as never })).toThrow(/attention is/);
  });
});

const folder = dataFolder();

describe.skipIf(folder === undefined)("real models", () => {
  const files = [
    { file: "models/bert-mini-sst2/onnx/model.onnx", layers: 4 },
    { file: "models/tinyllamas/stories260K/onnx/model.onnx", layers: 5 },
    { file: "models/vit-cifar10-pgd-2-3-16/model.onnx", layers: 2 },
  ].filter(({ file }) => existsSync(join(folder ?? "", file)));

  test.each(files)("$file: all attention layers are fused, dense and pruned", async ({ file, layers }) => {
    const graph = readModel(readFileSync(join(folder!, file)));
    const { graph: pruned } = prune(graph, planFrom(findSites(graph), { sparsity: 0.5, sites: ["heads"] }));
    for (const model of [graph, pruned]) {
      const { graph: fused, report } = fuse(model, { sums: true });
      expect(report.fused.filter(({ pattern }) => pattern === "attention")).toHaveLength(layers);
      expect((await verify(model, fused)).maxRelDiff).toBeLessThan(1e-5);
    }
  });
});
