import { countCosts, findSites } from "@dgate/onnx";
import { crossEntropy, openTrainer, sgd, warmupCosine } from "@dgate/onnx/train";
import { expect, test } from "vitest";
import { accuracyOf, digitBatches, firstDigits, lenet, readMnist, stepsPerEpoch } from "./mnist.ts";

const mnist = readMnist();

test.skipIf(!mnist)(
  "LeNet-300-100 on MNIST learns, and what its gates turn off goes without a trace",
  async () => {
    const train = firstDigits(mnist!.train, 40_000);
    const sizes = { batch: 64, epochs: 3, seed: 1 };
    const dense = lenet(1);
    const trainer = await openTrainer(dense, {
      loss: crossEntropy(),
      sites: findSites(dense),
      gate: ["neurons"],
      depth: 3,
      lambda: 3e-3,
      train: "all",
      optimizer: sgd({ momentum: 0.9 }),
      learningRate: warmupCosine(0.1, { warmup: 0.1, hold: 0.6 }),
    });
    await trainer.fit(digitBatches(train, sizes), {
      steps: sizes.epochs * stepsPerEpoch(train, sizes.batch),
    });
    const { graph: folded } = await trainer.fold();
    const { graph, decisions, verification } = await trainer.prune();
    await trainer.dispose();
    const kept = decisions.reduce((sum, decision) => sum + decision.kept.length, 0);
    const [before, after] = [await accuracyOf(folded, mnist!.test), await accuracyOf(graph, mnist!.test)];
    expect(after).toBeGreaterThan(0.96);
    expect(Math.abs(after - before)).toBeLessThan(0.005);
    expect(kept).toBeLessThan(200);
    expect(countCosts(graph).parameters).toBeLessThan(countCosts(dense).parameters / 2);
    expect(verification?.equal).toBe(true);
    expect(graph.value("hidden1.kernel")!.data!.shape[1]).toBe(decisions[0]!.kept.length);
  },
  120_000,
);
