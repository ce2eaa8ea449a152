import { execFile, spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { writeModel } from "@dgate/onnx";
import type { Trainer } from "@dgate/onnx/train";
import { afterAll, describe, expect, test } from "vitest";
import {
  type DeviceNetName,
  deviceNetNames,
  deviceSteps,
  largestGap,
  openDeviceNet,
} from "../../test/train/device-nets.ts";

/** Debian's Chromium brings a Vulkan loader and a driver that computes on the CPU. */
const chromium = "/usr/lib/chromium";
const driver = join(chromium, "vk_swiftshader_icd.json");
/** Set in the process that this file starts for itself: the loader's path must be there when a process begins. */
const inner = process.env["DGATE_SWIFTSHADER"] === "1";
const env = {
  ...process.env,
  DGATE_SWIFTSHADER: "1",
  VK_ICD_FILENAMES: driver,
  LD_LIBRARY_PATH: chromium,
  NO_COLOR: "1",
};

describe.runIf(inner)("on SwiftShader", () => {
  // The last session takes the compiled shaders with it.
  const open: Trainer[] = [];
  afterAll(() => Promise.all(open.map((trainer) => trainer.dispose())));

  async function compared(name: DeviceNetName, updates: "graph" | "host"): Promise<Trainer> {
    const cpu = await openDeviceNet(name, { provider: "cpu", updates });
    const expected = await deviceSteps(name, cpu, 3);
    await cpu.dispose();
    const trainer = await openDeviceNet(name, { provider: "webgpu", updates });
    open.push(trainer);
    const gap = largestGap(await deviceSteps(name, trainer, 3), expected);
    expect(gap).toBeLessThan(1e-3);
    return trainer;
  }

  test.each(deviceNetNames)(
    "3 steps of the %s, updates in the graph, come to what cpu does",
    async (name) => {
      const trainer = await compared(name, "graph");
      expect(trainer).toMatchObject({ provider: "webgpu", updates: "graph" });
      const { report, verification } = await trainer.prune({ relative: 0.8 });
      expect(report.removed.length).toBeGreaterThan(0);
      expect(verification).toMatchObject({ equal: true, runtime: "node" });
    },
    200_000,
  );

  test("3 steps of the mlp, updates in the host, come to what cpu does", async () => {
    expect(await compared("mlp", "host")).toMatchObject({ provider: "webgpu", updates: "host" });
  }, 200_000);
});

/** Prints where each node is placed, model by model. */
const placing = `
  const ort = require(process.argv[1]);
  (async () => {
    for (const model of process.argv.slice(2)) {
      console.error("MODEL " + model);
      const session = await ort.InferenceSession.create(model, { executionProviders: ["webgpu"], logSeverityLevel: 0, logVerbosityLevel: 1 });
      await session.release();
    }
  })();
`;

/** Operators that a log says are on the CPU, in the order of the alphabet. */
function onCpu(log: string): string[] {
  const [, placed = ""] = /placed on \[CPUExecutionProvider\]([^]*?)placed on \[WebGpu/.exec(log) ?? [];
  const operators = [...placed.matchAll(/\] +(\w+) \(/g)].map(([, operator]) => operator!);
  return [...new Set(operators)].sort();
}

describe.skipIf(inner || !existsSync(driver))("webgpu of onnxruntime-node", () => {
  test("trains on SwiftShader, in a process that may hang without harm", async () => {
    const vitest = join(dirname(createRequire(import.meta.url).resolve("vitest/package.json")), "vitest.mjs");
    const root = join(import.meta.dirname, "../../../..");
    const args = [vitest, "run", "--root", root, "--project", "onnx", import.meta.filename];
    const { stdout } = await promisify(execFile)(process.execPath, args, { env, timeout: 400_000 });
    expect(stdout).toMatch(/Tests +4 passed/);
  }, 420_000);

  test("only integers are computed on the CPU", async () => {
    const folder = mkdtempSync(join(tmpdir(), "dgate-webgpu-"));
    const files: string[] = [];
    for (const name of deviceNetNames) {
      const trainer = await openDeviceNet(name, { provider: "cpu", updates: "graph" });
      files.push(join(folder, `${name}.onnx`));
      writeFileSync(files.at(-1)!, writeModel(trainer.graph));
      await trainer.dispose();
    }
    const runtime = createRequire(import.meta.url).resolve("onnxruntime-node");
    // Into a file: where a pipe is full, the runtime loses what it says from there on.
    const log = openSync(join(folder, "log"), "w");
    const child = spawn(process.execPath, ["--eval", placing, runtime, ...files], {
      env,
      timeout: 100_000,
      stdio: ["ignore", "ignore", log],
    });
    expect(await new Promise((resolve) => child.once("close", resolve))).toBe(0);
    closeSync(log);
    const text = readFileSync(join(folder, "log"), "utf8");
    rmSync(folder, { recursive: true });
    const logs = text.split(/^MODEL /m).slice(1);
    const placed = Object.fromEntries(deviceNetNames.map((name, i) => [name, onCpu(logs[i]!)]));
    // Labels are cast to int32; the rest are sizes and indices.
    expect(placed).toEqual({
      mlp: ["Cast"],
      conv: ["Cast"],
      transformer: ["Cast", "Concat", "Gather", "Reshape", "Slice", "Unsqueeze"],
    });
    for (const each of logs) expect(each).toMatch(/placed on \[WebGpuExecutionProvider\]/);
  }, 120_000);
});

if (!existsSync(driver))
  process.stderr.write(`skipped: webgpu of onnxruntime-node on SwiftShader (no ${driver} here)\n`);
