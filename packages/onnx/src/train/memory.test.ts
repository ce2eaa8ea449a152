import { spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { peakBytes, printBytes } from "./memory.ts";

const status = "/proc/self/status";

/** What `test/train/memory-of-training.ts` prints, run by itself: other tests leave garbage that is collected at any time. */
async function memoryOfTraining(): Promise<{ estimated: number; taken: number }> {
  const packageFolder = fileURLToPath(new URL("../..", import.meta.url));
  const bundle = await build({
    entryPoints: [`${packageFolder}/test/train/memory-of-training.ts`],
    bundle: true,
    write: false,
    platform: "node",
    format: "esm",
    conditions: ["@dgate/source"],
    external: ["onnxruntime-node", "onnxruntime-web"],
  });
  const child = spawn(process.execPath, ["--expose-gc", "--input-type=module"], {
    cwd: packageFolder,
    stdio: ["pipe", "pipe", "inherit"],
    timeout: 25_000,
  });
  const closed = new Promise<number | null>((resolve) => {
    child.once("close", resolve);
  });
  child.stdin.on("error", () => undefined); // a process that ends early says why by its code
  child.stdin.end(bundle.outputFiles[0]!.text);
  const printed = Buffer.concat(await child.stdout.toArray()).toString();
  expect(await closed).toBe(0);
  return JSON.parse(printed);
}

describe("the estimate of memory", () => {
  test.skipIf(!existsSync(status))("is what a process takes for training, within a factor of 2", async () => {
    const { estimated, taken } = await memoryOfTraining();
    expect(estimated).toBeGreaterThan(100e6);
    expect(taken / estimated).toBeGreaterThan(0.5);
    expect(taken / estimated).toBeLessThan(2);
  });

  test("counts what lives at the same time, and follows the sizes of a batch", () => {
    const net = new GraphBuilder(1, 18);
    const x = net.input("x", ["batch", 100]);
    const a = net.op("Tanh", [x]);
    const b = net.op("Exp", [a]);
    const graph = net.output(net.op("Abs", [net.op("Sin", [b])]));
    // x stays, as inputs do; two of the others are there at a time.
    expect(peakBytes(graph, { batch: 10 })).toBe(3 * 10 * 400);
    expect(peakBytes(graph, { batch: 30 })).toBe(3 * 30 * 400);
    const wide = new GraphBuilder(1, 18);
    const y = wide.op("Tanh", [wide.input("x", ["batch", 100])]);
    const [left, right] = [wide.op("Exp", [y]), wide.op("Sin", [y])];
    // x, y and both, of which the last is the sum's operand.
    expect(peakBytes(wide.output(wide.op("Add", [left, right])), { batch: 10 })).toBe(4 * 10 * 400);
  });

  test("is printed in the unit that fits", () => {
    expect([0, 999, 1000, 20.34e6, 4.3e9, 5e15].map(printBytes)).toEqual([
      "0 B",
      "999 B",
      "1.0 kB",
      "20.3 MB",
      "4.3 GB",
      "5000.0 TB",
    ]);
  });
});
