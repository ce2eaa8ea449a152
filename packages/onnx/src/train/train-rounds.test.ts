import { findSites } from "@dgate/onnx";
import { expect, test } from "vitest";
import { classBatches, mlp, normals } from "../../test/train/nets.ts";
import { crossEntropy, distill } from "./loss.ts";
import { train } from "./train.ts";

test("later rounds prune the sites of the first and no others", async () => {
  const graph = mlp();
  const sites = findSites(graph).filter(({ name }) => name === "fc1.neurons");
  const { rounds } = await train(graph, () => classBatches(60), {
    sites,
    loss: crossEntropy(),
    steps: 60,
    rounds: 2,
    lambda: 0.03,
    learningRate: 0.02,
  });
  const pruned = rounds.map(({ decisions }) => decisions.map(({ sites: [name] }) => name));
  expect(pruned).toEqual([["fc1.neurons"], ["fc1.neurons"]]);
});

test("the first model is the teacher in every round", async () => {
  const graph = mlp();
  const options = { loss: distill({ kind: "mse" }), steps: 1, rounds: 2, learningRate: 0, lambda: 0 };
  const { rounds } = await train(graph, [{ x: { data: normals(3, 64), shape: [8, 8] } }], {
    ...options,
    prune: { relative: 0.8, verify: false },
  });
  // Nothing is learnt: the second round begins with what the first one's cut has cost.
  expect(rounds[0]!.fit.losses[0]).toBeLessThan(1e-10);
  expect(rounds[1]!.fit.losses[0]).toBeGreaterThan(1e-3);
});
