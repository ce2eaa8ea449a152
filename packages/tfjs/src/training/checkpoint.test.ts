import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import * as tf from "@tensorflow/tfjs";
import { build } from "tsup";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { trainingRun } from "../../test/support/training-run.ts";
import { gate } from "../gating/gate.ts";
import { checkpoint, resume } from "./checkpoint.ts";
import { readCheckpoint, writeCheckpoint } from "./checkpoint-file.ts";
import { train } from "./train.ts";

const here = fileURLToPath(new URL(".", import.meta.url));
let directory = "";
let bundle = "";

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "dgate-checkpoint-"));
  // Within the package, so that the bundle finds tfjs.
  bundle = await mkdtemp(join(here, "../../node_modules/.training-worker-"));
  await build({
    entry: { worker: join(here, "../../test/support/training-worker.ts") },
    outDir: bundle,
    format: ["esm"],
    config: false,
    silent: true,
    dts: false,
    external: [/^@tensorflow/],
    noExternal: [/^@dgate/],
    esbuildOptions: (options) => {
      options.conditions = ["@dgate/source"];
    },
    outExtension: () => ({ js: ".mjs" }),
  });
});

afterAll(async () => {
  await rm(directory, { recursive: true });
  await rm(bundle, { recursive: true });
});

function startWorker(folder: string, optimizer: string): ChildProcess {
  return spawn(process.execPath, [join(bundle, "worker.mjs"), folder, optimizer], {
    stdio: ["ignore", "pipe", "inherit"],
  });
}

/** Waits until a worker has said `word`; returns all that it said. */
async function waitFor(worker: ChildProcess, word: string): Promise<string> {
  let said = "";
  for await (const chunk of worker.stdout!.iterator({ destroyOnReturn: false })) {
    said += String(chunk);
    if (said.includes(word)) return said;
  }
  throw new Error(`the worker ended without "${word}": ${said}`);
}

describe.each(["momentum", "adam"] as const)("checkpoints with %s", (optimizer) => {
  test.each([
    ["kill -9", "SIGKILL"],
    ["Ctrl-C", "SIGINT"],
  ] as const)(
    "after a %s training continues to the weights of an uninterrupted run, bit for bit",
    async (_, signal) => {
      const folder = join(directory, `${optimizer}-${signal}`);
      const worker = startWorker(folder, optimizer);
      const exit = once(worker, "exit");
      await waitFor(worker, "step 2 4");
      worker.kill(signal);
      if (signal === "SIGINT") await waitFor(worker, "stopped: ABORTED");
      // A killed worker did not get to the end by itself.
      expect(await exit).toEqual(signal === "SIGKILL" ? [null, "SIGKILL"] : [0, null]);
      const resumed = await trainingRun({ directory: folder, optimizer, continued: true });
      const whole = await trainingRun({ directory: join(folder, "whole"), optimizer, continued: false });
      expect(resumed).toEqual(whole);
    },
  );
});

function small(units = 3, optimizer: tf.Optimizer = tf.train.sgd(0.1)): tf.LayersModel {
  const model = gate(
    tf.sequential({ layers: [tf.layers.dense({ units, inputShape: [2] }), tf.layers.dense({ units: 1 })] }),
    { lambda: 0.25 },
  );
  model.compile({ optimizer, loss: "meanSquaredError" });
  return model;
}

describe("checkpoint files", () => {
  const position = { epoch: 3, batch: 1 };

  test("carry lambda and position, and nothing is left beside them", async () => {
    const folder = join(directory, "files");
    const model = small();
    const [x, y] = [tf.ones([4, 2]), tf.ones([4, 1])];
    await train(model, { x, y, epochs: 2, callbacks: checkpoint({ directory: folder }) });
    expect(await readdir(folder)).toEqual(["checkpoint.safetensors"]);
    const other = small();
    expect(await resume(other, folder)).toEqual({ epoch: 2, batch: 0 });
    expect(other.getWeights().map((weight) => [...weight.dataSync()])).toEqual(
      model.getWeights().map((weight) => [...weight.dataSync()]),
    );
  });

  test("of another model, optimizer or format are refused", async () => {
    const bytes = await writeCheckpoint(small(), position);
    expect(await readCheckpoint(small(), bytes)).toEqual(position);
    await expect(readCheckpoint(small(4), bytes)).rejects.toMatchObject({ code: "CHECK" });
    await expect(readCheckpoint(small(3, tf.train.adam(0.1)), bytes)).rejects.toThrow(/SGD.*Adam/);
    await expect(readCheckpoint(small(), bytes.subarray(0, bytes.length - 5))).rejects.toMatchObject({
      code: "FORMAT",
    });
    await expect(readCheckpoint(small(), new Uint8Array(64))).rejects.toMatchObject({ code: "FORMAT" });
  });

  test("in folders that are not there or cannot be made are IO errors that name the folder", async () => {
    await expect(resume(small(), join(directory, "nowhere"))).rejects.toThrow(/nowhere/);
    const file = join(directory, "a-file");
    await writeFile(file, "");
    const [x, y] = [tf.ones([4, 2]), tf.ones([4, 1])];
    const run = train(small(), { x, y, epochs: 1, callbacks: checkpoint({ directory: join(file, "sub") }) });
    await expect(run).rejects.toMatchObject({
      code: "IO",
      message: expect.stringContaining("a-file") as string,
    });
    expect(await readFile(file, "utf8")).toBe("");
  });
});
