import { findSites, planFrom, prune } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { classBatches, mlp } from "../../test/train/nets.ts";
import type { Batch } from "../recover/batches.ts";
import { numbersOf } from "../runtime/run-tensor.ts";
import { outputsOf } from "../../test/same-outputs.ts";
import { crossEntropy, distill } from "./loss.ts";
import { adam } from "./optimizer.ts";
import { openTrainer } from "./trainer.ts";
import type { Graph } from "../graph/graph.ts";

/** Batches without labels. */
const unlabelled = (count: number, seed: number): Batch[] =>
  [...classBatches(count, { seed })].map(({ x }) => ({ x: x! }));

const held = unlabelled(1, 99_991)[0]!;

/** Mean squared difference of two models' logits, less their mean, on rows that neither was trained on. */
async function distance(a: Graph, b: Graph): Promise<number> {
  const [left, right] = [await outputsOf(a, held), await outputsOf(b, held)].map(({ logits }) => {
    const numbers = numbersOf(logits!);
    return Array.from(numbers, (value, i) => {
      const row = [0, 1, 2].map((k) => numbers[i - (i % 3) + k]!);
      return value - row.reduce((sum, logit) => sum + logit, 0) / 3;
    });
  });
  return left!.reduce((sum, value, i) => sum + (value - right![i]!) ** 2, 0) / left!.length;
}

async function classifier(): Promise<Graph> {
  const graph = mlp();
  const trainer = await openTrainer(graph, {
    sites: findSites(graph),
    loss: crossEntropy(),
    lambda: 0,
    train: "all",
    learningRate: 0.01,
  });
  await trainer.fit(classBatches(150));
  const { graph: trained } = await trainer.fold();
  await trainer.dispose();
  return trained;
}

describe("distillation needs no labels, and", () => {
  test("prunes to a model that is nearer to the dense one than pruning by norms", async () => {
    const dense = await classifier();
    const trainer = await openTrainer(dense, {
      sites: findSites(dense),
      gate: ["fc1.neurons"],
      loss: distill({ temperature: 2 }),
      depth: 3,
      train: "all",
      optimizer: adam(),
      learningRate: 0.01,
      lambda: 1e-2,
    });
    expect(trainer.inputs.map(({ name }) => name)).toEqual(["x"]);
    const { losses } = await trainer.fit(unlabelled(300, 5));
    expect(losses[0]!).toBeCloseTo(0, 6);
    const { graph: small, report } = await trainer.prune();
    await trainer.dispose();
    const { kept } = report.removed[0]!;
    expect(kept).toBeLessThan(13);
    const sites = findSites(dense);
    const plan = planFrom(sites, { sparsity: 1 - kept / 16, sites: ["fc1.neurons"], criterion: "l2" });
    const { graph: byNorm } = prune(dense, plan);
    expect(byNorm.value("fc1/kernel")!.data!.shape).toEqual(small.value("fc1/kernel")!.data!.shape);
    // Logits of a softmax are the same up to a number a row.
    expect(await distance(dense, small)).toBeLessThan(0.5 * (await distance(dense, byNorm)));
  });

  test("lowers the error that the gates have made", async () => {
    const dense = await classifier();
    const open = (lambda: number) =>
      openTrainer(dense, {
        sites: findSites(dense),
        loss: distill({ kind: "mse" }),
        train: "gates",
        optimizer: adam(),
        learningRate: 0.03,
        lambda,
      });
    // A strong penalty first, then none: the way back is distillation's own.
    const strong = await open(0.3);
    await strong.fit(unlabelled(40, 5));
    const shrunk = await strong.save();
    const { graph: far } = await strong.fold();
    await strong.dispose();
    const back = await open(0);
    back.restore(shrunk);
    const { losses } = await back.fit(unlabelled(200, 8));
    const { graph: near } = await back.fold();
    await back.dispose();
    expect(losses.at(-1)!).toBeLessThan(0.5 * losses[0]!);
    expect(await distance(dense, near)).toBeLessThan(0.5 * (await distance(dense, far)));
  });
});
