import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import * as tf from "@tensorflow/tfjs";
import { describe, expect, test } from "vitest";
import { useBackend } from "./use-backend.ts";

/** Debian's Chromium brings a Vulkan loader and a driver that computes on the CPU. */
const chromium = "/usr/lib/chromium";
const driver = join(chromium, "vk_swiftshader_icd.json");
/** Set in the process that this file starts for itself: the loader's path must be there when a process begins. */
const inner = process.env["DGATE_SWIFTSHADER"] === "1";

/** A dense and a convolutional network with equal weights on every backend. */
function model(kind: "dense" | "convolutional"): tf.Sequential {
  const kernelInitializer = tf.initializers.constant({ value: 0.1 });
  const first =
    kind === "dense"
      ? [
          tf.layers.flatten({ inputShape: [6, 6, 1] }),
          tf.layers.dense({ units: 4, activation: "relu", kernelInitializer }),
        ]
      : [
          tf.layers.conv2d({ inputShape: [6, 6, 1], filters: 2, kernelSize: 3, kernelInitializer }),
          tf.layers.flatten(),
        ];
  const built = tf.sequential({ layers: [...first, tf.layers.dense({ units: 1, kernelInitializer })] });
  built.compile({ optimizer: tf.train.sgd(0.01), loss: "meanSquaredError" });
  return built;
}

async function losses(kind: "dense" | "convolutional"): Promise<number[]> {
  const trained = model(kind);
  const x = tf.linspace(0, 1, 72).reshape([2, 6, 6, 1]);
  const y = tf.tensor2d([[1], [2]]);
  const seen: number[] = [];
  for (let step = 0; step < 3; step += 1) {
    // One loss and no metrics: a plain number.
    seen.push((await trained.trainOnBatch(x, y)) as number);
  }
  return seen;
}

describe.runIf(inner)("on SwiftShader", () => {
  test("webgpu is not taken by itself", async () => {
    const { backend, tried } = await useBackend("auto");
    expect(backend).not.toBe("webgpu");
    const { reason } = tried.find(({ name }) => name === "webgpu")!;
    expect(reason).toMatch(/^the only adapter \(swiftshader-.* \(SwiftShader .*\)\) computes on the CPU/);
  }, 60_000);

  test.each(["dense", "convolutional"] as const)(
    "a %s network trains on webgpu as on cpu",
    async (kind) => {
      await useBackend("cpu");
      const expected = await losses(kind);
      const { device } = await useBackend("webgpu");
      expect(device).toContain("SwiftShader");
      const actual = await losses(kind);
      actual.forEach((loss, step) => {
        expect(loss).toBeCloseTo(expected[step]!, 3);
      });
      expect(actual[2]).toBeLessThan(actual[0]!);
    },
    100_000,
  );
});

describe.skipIf(inner || !existsSync(driver))("webgpu in Node", () => {
  test("passes on SwiftShader, in a process that may hang without harm", async () => {
    const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
    const args = [
      vitest,
      "run",
      "--root",
      join(import.meta.dirname, "../../../.."),
      "--project",
      "tfjs",
      import.meta.filename,
    ];
    const env = {
      ...process.env,
      DGATE_SWIFTSHADER: "1",
      DGATE_BACKEND: "",
      VK_ICD_FILENAMES: driver,
      LD_LIBRARY_PATH: chromium,
      NO_COLOR: "1",
    };
    const { stdout } = await promisify(execFile)(process.execPath, args, { env, timeout: 160_000 });
    expect(stdout).toMatch(/Tests +3 passed/);
  }, 170_000);
});

if (!existsSync(driver)) process.stderr.write(`skipped: webgpu on SwiftShader (no ${driver} here)\n`);
