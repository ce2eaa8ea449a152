import { findSites } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { classBatches, mlp } from "../../test/train/nets.ts";
import { crossEntropy } from "./loss.ts";
import { adam } from "./optimizer.ts";
import { train, type TrainOptions } from "./train.ts";

const graph = mlp();
const options: TrainOptions = {
  sites: findSites(graph),
  loss: crossEntropy(),
  depth: 3,
  train: "all",
  optimizer: adam(),
  learningRate: 0.01,
  lambda: 4e-3,
  steps: 150,
};

describe("train", () => {
  test("prunes further in each round, with fresh gates on what was left", async () => {
    let asked = 0;
    const batches = () => {
      asked += 1;
      return classBatches(150);
    };
    const { graph: small, rounds } = await train(graph, batches, { ...options, rounds: 2 });
    expect(asked).toBe(2);
    expect(rounds.map(({ fit }) => fit.steps)).toEqual([150, 150]);
    const widths = [graph, rounds[0]!.graph, small].map(
      (model) => model.value("fc1/kernel")!.data!.shape[1]!,
    );
    expect(widths[1]!).toBeLessThan(widths[0]!);
    expect(widths[2]!).toBeLessThan(widths[1]!);
    for (const { verification } of rounds) expect(verification!.equal).toBe(true);
    // Round 2 begins where round 1 ended.
    expect(rounds[1]!.fit.losses[0]!).toBeLessThan(rounds[0]!.fit.losses[0]!);
    expect(small.inputs.map(({ name }) => name)).toEqual(["x"]);
  });

  test("does not take batches that are used up for a round", async () => {
    await expect(train(graph, classBatches(10), { ...options, steps: 10, rounds: 2 })).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringContaining("no batch"),
    });
  });

  test("refuses a number of rounds that is none", async () => {
    await expect(train(graph, [], { ...options, rounds: 0 })).rejects.toMatchObject({ code: "OPTION" });
  });

  test("can be cancelled", async () => {
    const controller = new AbortController();
    const work = train(graph, classBatches(150), {
      ...options,
      signal: controller.signal,
      onProgress: ({ step }) => {
        if (step === 3) controller.abort();
      },
    });
    await expect(work).rejects.toMatchObject({
      code: "ABORTED",
      message: expect.stringContaining("after step 3"),
    });
  });
});
