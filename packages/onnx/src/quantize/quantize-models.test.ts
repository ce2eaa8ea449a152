import { describe, expect, test } from "vitest";
import { transformerModels } from "../../test/models/models.ts";
import { feedsOf, type TransformerModel } from "../../test/models/transformer-model.ts";
import { checkGraph } from "../graph/check-graph.ts";
import type { Graph } from "../graph/graph.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { denormalise, normalise } from "../normal-form/normalise.ts";
import { planFrom } from "../plan/plan-from.ts";
import { mask } from "../prune/mask.ts";
import { prune } from "../prune/prune.ts";
import { countCosts } from "../sites/count-costs.ts";
import { findSites } from "../sites/find-sites.ts";
import type { Site } from "../sites/site.ts";
import { dequantizeModel, hasCodes } from "../training-form/dequantize.ts";
import { verify } from "../verify/verify.ts";
import { quantizeBlocks } from "./quantize-blocks.ts";
import { quantizeDynamic } from "./quantize-dynamic.ts";

const quantizers: Readonly<Record<string, (graph: Graph) => ReturnType<typeof quantizeDynamic>>> = {
  "dynamic int8": (graph) => quantizeDynamic(graph, { minimumElements: 0 }),
  "dynamic uint8, a scale per weight": (graph) =>
    quantizeDynamic(graph, { minimumElements: 0, weightType: "uint8", perChannel: false }),
  "blocks of 16 with 8 bits, tables": (graph) =>
    quantizeBlocks(graph, {
      minimumElements: 0,
      bits: 8,
      blockSize: 16,
      operators: ["MatMul", "Gemm", "Gather"],
    }),
};

const cases = transformerModels.flatMap(({ name, build }) =>
  Object.entries(quantizers).map(([form, quantize]) => ({ name, form, build, quantize })),
);

const differenceOf = async (model: TransformerModel, a: Graph, b: Graph): Promise<number> =>
  (await verify(a, b, { runs: 0, feeds: [feedsOf(model, 1), feedsOf(model, 2)] })).maxRelDiff;

describe.each(cases)("$name, $form", ({ form, build, quantize }) => {
  test("computes nearly the same, in the same operators elsewhere, and can be written, read and pruned", async () => {
    const model = build();
    const before = String(model.graph);
    const { graph, report } = quantize(model.graph);
    expect(String(model.graph)).toBe(before);
    checkGraph(graph);
    inferShapes(graph);
    expect(report.quantized.length).toBeGreaterThan(0);
    expect(report.sizeBytes.after).toBeLessThan(report.sizeBytes.before);
    const difference = await differenceOf(model, model.graph, graph);
    expect(difference).toBeGreaterThan(0);
    expect(difference).toBeLessThan(0.1);
    const [plain, found] = [countCosts(normalise(model.graph)), countCosts(graph)];
    expect(found.macs).toBe(plain.macs);
    // A weight in blocks is a copy where a table is tied to it.
    expect(found.parameters).toBe(form.startsWith("blocks") ? found.parameters : plain.parameters);
  });

  test("dequantized it computes nearly what the float model computes", async () => {
    const model = build();
    const { graph } = quantize(model.graph);
    const plain = dequantizeModel(normalise(graph));
    expect(hasCodes(plain)).toBe(false);
    expect(await differenceOf(model, model.graph, denormalised(plain))).toBeLessThan(0.1);
  });

  test("half of its heads and neurons go as from the float model", async () => {
    const model = build();
    const { graph } = quantize(model.graph);
    const sites = findSites(graph);
    // Blocks that are wider than a layer of these small models do not go.
    const expected = form.startsWith("blocks") ? sites : findSites(model.graph);
    expect(prunable(sites)).toEqual(prunable(expected));
    if (prunable(sites).length === 0) return;
    const plan = planFrom(sites, { keep: 0.5 });
    const { graph: small, report } = prune(graph, plan);
    // A cache may hold anything, also for a head whose weights are zero.
    for (const { reason } of report.keptBack) expect(reason).toMatch(/takes its range from it/);
    const feeds = [feedsOf(model, 1), feedsOf(model, 2)];
    const { inputs, outputs } = report;
    const found = await verify(mask(graph, plan), small, { runs: 0, feeds, inputs, outputs });
    expect(found.maxRelDiff).toBeLessThanOrEqual(form.startsWith("blocks") ? 1e-5 : found.limit);
  });
});

/** Sites that are offered where nobody asks for others. */
const prunable = (sites: readonly Site[]): string[] =>
  sites
    .filter(({ prunable: may, kind }) => may === true && ["heads", "neurons", "filters"].includes(kind))
    .map(({ name }) => name);

function denormalised(graph: Graph): Graph {
  denormalise(graph);
  return graph;
}
