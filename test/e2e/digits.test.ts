import type { TrainDocument } from "@dgate/cli";
import { expect, test } from "vitest";
import { dgate } from "./dgate.ts";

const sizes = "--train-size 6000 --test-size 2000 --backend wasm --json".split(" ");

test("the digits are hard for a linear model and easy for a network: LeNet-300-100 passes 95 % where softmax regression stays under 90 %", async () => {
  const { stdout } = await dgate(["train", "--method", "dense", "--epochs", "8", ...sizes]);
  const { accuracy } = JSON.parse(stdout) as TrainDocument;
  expect(accuracy.dense).toBeGreaterThan(0.95);
});

test("a convolutional network trains on wasm, loses filters and equals its masked self", async () => {
  const args =
    "--arch lenet-5 --epochs 3 --batch 16 --lambda 4e-2 --lr 0.03 --no-dense --train-size 3000 --test-size 500 --backend wasm --json";
  const { code, stdout, stderr } = await dgate(["train", ...args.split(" ")]);
  expect(stderr).not.toContain("dgate:");
  expect(code).toBe(0);
  const { accuracy, maxAbsDiff, sites } = JSON.parse(stdout) as TrainDocument;
  expect(sites.map(({ site }) => site)).toEqual([
    "conv1.filters",
    "conv2.filters",
    "hidden1.neurons",
    "hidden2.neurons",
  ]);
  for (const { groups, kept } of sites) expect(kept).toBeLessThan(groups);
  expect(accuracy.pruned).toBeGreaterThan(0.8);
  expect(maxAbsDiff).toBeLessThan(1e-3);
});
