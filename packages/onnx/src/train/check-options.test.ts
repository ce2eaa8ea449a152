import { findSites } from "@dgate/onnx";
import { describe, expect, test, vi } from "vitest";
import * as ort from "onnxruntime-node";
import { classBatches, mlp } from "../../test/train/nets.ts";
import type { OrtModule } from "../runtime/ort-module.ts";
import { crossEntropy, distill } from "./loss.ts";
import { openTrainer } from "./trainer.ts";
import type { TrainerOptions } from "./trainer-options.ts";

const open = (options: object = {}) => {
  const graph = mlp();
  // As a caller in JavaScript may.
  const given = { loss: crossEntropy(), sites: findSites(graph), ...options } as TrainerOptions;
  return openTrainer(graph, given);
};

describe("openTrainer refuses", () => {
  test.each([
    [{ clipNorm: -1 }, "clipNorm is -1, expected a positive number"],
    [{ clipNorm: Number.NaN }, "clipNorm is NaN"],
    [{ train: "weights" }, "train is weights, expected one of gates, groups, all"],
    [{ updates: "gpu" }, "updates is gpu, expected one of graph, host"],
    [{ groupWeights: "sqrt" }, "groupWeights is sqrt, expected one of none, sqrt-size"],
    [{ lambda: { target: 0.5, every: 0 } }, "lambda.every is 0, expected a whole number of at least 1"],
  ])("%j", async (options, message) => {
    await expect(open(options)).rejects.toMatchObject({
      code: "OPTION",
      message: expect.stringContaining(message),
    });
  });
});

describe("fit refuses", () => {
  test.each([
    [{ steps: Number.NaN }, "steps is NaN, expected a whole number of at least 0"],
    [{ steps: 2.5 }, "steps is 2.5"],
    [{ checkpoint: { every: 0, save: vi.fn() } }, "checkpoint.every is 0"],
  ])("%j", async (options, message) => {
    const trainer = await open();
    const fit = trainer.fit(classBatches(1), options);
    await expect(fit).rejects.toMatchObject({ code: "OPTION", message: expect.stringContaining(message) });
    await trainer.dispose();
  });

  test("a second call before the end of the first, and any after dispose", async () => {
    const trainer = await open();
    const first = trainer.fit(() => classBatches(2), { steps: 2 });
    const second = trainer.fit(() => classBatches(2), { steps: 2 });
    await expect(second).rejects.toMatchObject({ code: "OPTION" });
    await expect(first).resolves.toMatchObject({ steps: 2 });
    await trainer.dispose();
    await expect(trainer.fit(() => classBatches(1))).rejects.toMatchObject({ code: "OPTION" });
  });
});

test("a trainer that cannot be opened leaves no session", async () => {
  const released: string[] = [];
  const { InferenceSession } = ort as unknown as OrtModule; // what both packages have
  const create: OrtModule["InferenceSession"]["create"] = async (model, options) => {
    const session = await InferenceSession.create(model, options);
    const release = session.release.bind(session);
    session.release = () => {
      released.push(session.outputNames[0]!);
      return release();
    };
    return session;
  };
  const spied = { Tensor: ort.Tensor, env: ort.env, InferenceSession: { create } };
  const opened = open({ provider: "cpu", ort: spied, loss: distill(), lambda: { target: 5 } });
  await expect(opened).rejects.toMatchObject({ code: "OPTION" });
  expect(released.toSorted()).toEqual(["dgate.loss", "logits"]);
});
