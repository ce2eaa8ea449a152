import { findSites, type Graph } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { outputDifference, outputsOf } from "../../test/same-outputs.ts";
import { classBatches, mlp, normals } from "../../test/train/nets.ts";
import { crossEntropy, meanSquaredError } from "./loss.ts";
import { sgd } from "./optimizer.ts";
import { openTrainer } from "./trainer.ts";
import type { TrainerOptions } from "./trainer-options.ts";

const x = { data: normals(3, 40), shape: [5, 8] };

async function open(graph: Graph, options: Partial<TrainerOptions>) {
  return openTrainer(graph, {
    sites: findSites(graph),
    loss: crossEntropy(),
    optimizer: sgd(),
    learningRate: 0.1,
    train: "all",
    ...options,
  });
}

/** Twenty steps, with or without a pruned model taken half way. */
async function twentySteps(pruned: boolean) {
  const trainer = await open(mlp(), { lambda: 0.05 });
  await trainer.fit(classBatches(10));
  if (pruned) await trainer.prune();
  await trainer.fit(classBatches(10));
  const checkpoint = await trainer.save();
  await trainer.dispose();
  return checkpoint;
}

describe("a λ so large that everything dies", () => {
  test.each([2, 3, 4])(
    "leaves the strongest group of each site, warns, and the model runs: depth %i",
    async (depth) => {
      const trainer = await open(mlp(), { depth, lambda: 5 });
      await trainer.fit(classBatches(60));
      const norms = await trainer.norms();
      const { graph, report, warnings, verification, decisions } = await trainer.prune();
      expect(report.removed).toEqual([
        { site: "fc1.neurons", groups: 16, kept: 1 },
        { site: "fc2.neurons", groups: 12, kept: 1 },
      ]);
      decisions.forEach(({ kept }, s) => {
        const own = norms[s]!.norms;
        expect(own[kept[0]!]).toBe(Math.max(...own));
      });
      expect(warnings).toHaveLength(2);
      expect(warnings[0]).toContain(
        'site "fc1.neurons": all 16 groups have died; the strongest stays. Lower λ.',
      );
      expect(verification!.equal).toBe(true);
      const { graph: folded } = await trainer.fold();
      // What died was next to nothing.
      expect(outputDifference(await outputsOf(graph, { x }), await outputsOf(folded, { x }))).toBeLessThan(
        1e-2,
      );
      await trainer.dispose();
    },
  );

  test("takes a whole layer out, which is a group of its own", async () => {
    const net = new GraphBuilder(4, 18);
    const input = net.gemm("stem", net.input("x", ["batch", 8]), [8, 6]);
    const branch = net.gemm("down", net.op("Tanh", [net.gemm("up", input, [6, 10])]), [10, 6]);
    const y = net.gemm("out", net.op("Add", [input, branch]), [6, 3]);
    net.graph.rename(y, "logits");
    const graph = net.output(y);
    const layers = findSites(graph).filter(({ kind }) => kind === "layers");
    expect(layers).toHaveLength(1);
    const trainer = await open(graph, {
      gate: ["layers"],
      lambda: 50,
      learningRate: 0.01,
      loss: meanSquaredError(),
      train: "groups",
    });
    const targets = { data: new Float32Array(15), shape: [5, 3] };
    await trainer.fit(Array.from({ length: 60 }, () => ({ x, targets })));
    const { graph: pruned, warnings, report } = await trainer.prune();
    expect(report.removed).toEqual([{ site: layers[0]!.name, groups: 1, kept: 0 }]);
    expect(warnings[0]).toContain("the layer goes");
    expect(pruned.nodes("Gemm").length).toBe(2);
    await trainer.dispose();
  });
});

describe("prune", () => {
  test("removes nothing where nothing died, and what it gives is the folded model", async () => {
    const trainer = await open(mlp(), { lambda: 0 });
    await trainer.fit(classBatches(2));
    const { graph, report, warnings } = await trainer.prune();
    expect(report.removed).toEqual([]);
    expect(warnings).toEqual([]);
    const { graph: folded } = await trainer.fold();
    expect(outputDifference(await outputsOf(graph, { x }), await outputsOf(folded, { x }))).toBe(0);
    await trainer.dispose();
  });

  test("leaves the trainer as it is: training goes on to the same end", async () => {
    expect(await twentySteps(true)).toEqual(await twentySteps(false));
  });

  test("does not prove what it is told not to prove", async () => {
    const trainer = await open(mlp(), { lambda: 0.05 });
    const { verification } = await trainer.prune({ verify: false });
    expect(verification).toBeUndefined();
    await trainer.dispose();
  });

  test("warns of groups near the threshold", async () => {
    const trainer = await open(mlp(), { lambda: 0.05 });
    await trainer.fit(classBatches(40));
    const norms = (await trainer.norms())[0]!.norms;
    const middle = [...norms].sort((a, b) => a - b)[8]!;
    const { warnings } = await trainer.prune({ relative: middle / Math.max(...norms), nearFactor: 3 });
    expect(warnings[0]).toContain("near the threshold");
    await trainer.dispose();
  });
});
