import { findSites } from "@dgate/onnx";
import { expect, test } from "vitest";
import { classBatches, mlp } from "../../test/train/nets.ts";
import type { Batch } from "../recover/batches.ts";
import { crossEntropy } from "./loss.ts";
import { sgd } from "./optimizer.ts";
import { openTrainer } from "./trainer.ts";

test("λ is steered until about half of the neurons are left", async () => {
  const batches = [...classBatches(50)];
  function* endless(): Generator<Batch, void, undefined> {
    for (;;) yield* batches;
  }
  const graph = mlp();
  const trainer = await openTrainer(graph, {
    sites: findSites(graph),
    loss: crossEntropy(),
    train: "all",
    optimizer: sgd({ momentum: 0.9 }),
    learningRate: 0.05,
    lambda: { target: 0.5, lambda: 2e-3 },
  });
  const seen: { readonly active: number | undefined; readonly lambda: number }[] = [];
  await trainer.fit(endless(), {
    steps: 1000,
    onProgress: ({ active, lambda }) => seen.push({ active, lambda }),
  });
  expect(seen[0]).toEqual({ active: undefined, lambda: 2e-3 });
  expect(new Set(seen.map(({ lambda }) => lambda)).size).toBeGreaterThan(10);
  const { active } = seen.at(-1)!;
  expect(active).toBeGreaterThan(0.35);
  expect(active).toBeLessThan(0.65);
  const { report } = await trainer.prune();
  const removed = report.removed.reduce((sum, { groups, kept }) => sum + groups - kept, 0);
  expect(1 - removed / 28).toBeCloseTo(active!, 12);
  await trainer.dispose();
});
