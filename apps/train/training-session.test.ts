import { setTimeout as wait } from "node:timers/promises";
import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { watchedOrt } from "../test/watched-ort.ts";
import type { Controls, TrainingMoment, TrainingSettings } from "./training.ts";
import { TrainingSession } from "./training-session.ts";

const settings: TrainingSettings = {
  network: "lenet-300-100",
  examples: 40,
  epochs: 2,
  batch: 20,
  rate: 0.1,
  seed: 1,
  backend: "wasm",
};
const first: Controls = { depth: 3, lambda: 1e-3 };
const noDigits = { images: new Float32Array(), labels: new Uint8Array() };

const begin = (own = noDigits): TrainingSession => new TrainingSession(settings, first, own);

describe("a training of the page", () => {
  test("takes another D and λ on the way, and its report says which held when", async () => {
    const session = begin();
    const moments: TrainingMoment[] = [];
    await session.train((moment) => {
      moments.push(moment);
      if (moment.epoch === 1) session.controls = { depth: 2, lambda: 5e-3 };
    });
    expect(moments[0]).toMatchObject({ depth: 3, peakLambda: 1e-3 });
    expect(moments.at(-1)).toMatchObject({ epoch: 2, depth: 2, peakLambda: 5e-3 });
    const { ort } = await watchedOrt();
    await session.prune(ort);
    const report = await session.report("cpu");
    expect(report).toContain("D or λ was changed while it trained: D = 3, λ = 0.001 from the start;");
    expect(report).toMatch(/D = 2, λ = 0\.005 from epoch 1\.\d+\. Where/);
    await session.dispose();
  });

  test("leaves no tensor behind, with another D on the way, another pruning and an error in one", async () => {
    const before = tf.memory().numTensors;
    const session = begin();
    await session.train(({ epoch }) => {
      if (epoch === 1) session.controls = { depth: 2, lambda: 1e-3 };
    });
    const trained = tf.memory().numTensors;
    const failing = await watchedOrt((sessions) => {
      if (sessions === 3) throw new Error("no more sessions");
    });
    await expect(session.prune(failing.ort)).rejects.toThrow("no more sessions");
    expect(tf.memory().numTensors).toBe(trained);
    expect(failing.open()).toBe(0);
    const { ort, open } = await watchedOrt();
    await session.prune(ort);
    const pruned = tf.memory().numTensors;
    await session.prune(ort);
    expect(tf.memory().numTensors).toBe(pruned);
    expect(open()).toBe(2);
    await session.dispose();
    expect(tf.memory().numTensors - before).toBe(0);
    expect(open()).toBe(0);
  });

  test("is still there when pruning it is cancelled", async () => {
    const session = begin({ images: new Float32Array(784).fill(1), labels: Uint8Array.of(1) });
    await session.train(() => {});
    const watched = await watchedOrt();
    const controller = new AbortController();
    const pruning = session.prune(watched.ort, controller.signal);
    await wait(1);
    controller.abort();
    await expect(pruning).rejects.toMatchObject({ code: "ABORTED" });
    expect(watched.open()).toBe(0);
    expect((await session.prune(watched.ort)).groups.of).toBe(784 + 300 + 100);
    await session.dispose();
  });
});
