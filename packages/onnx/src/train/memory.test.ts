import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { findSites, type Graph } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { normals } from "../../test/train/nets.ts";
import { meanSquaredError } from "./loss.ts";
import { peakBytes, printBytes } from "./memory.ts";
import { adam } from "./optimizer.ts";
import { openTrainer } from "./trainer.ts";

/** 256 features, two hidden layers of 1024, 10 outputs. */
function middleSized(): Graph {
  const net = new GraphBuilder(1, 18);
  const a = net.op("Relu", [net.gemm("fc1", net.input("x", ["batch", 256]), [256, 1024])]);
  const b = net.op("Relu", [net.gemm("fc2", a, [1024, 1024])]);
  return net.output(net.gemm("out", b, [1024, 10]));
}

const batchOf = (rows: number) => ({
  x: { data: normals(1, rows * 256), shape: [rows, 256] },
  targets: { data: normals(2, rows * 10), shape: [rows, 10] },
});

const status = "/proc/self/status";
const numberIn = (key: string): number =>
  1024 * Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync(status, "utf8"))![1]);

describe("the estimate of memory", () => {
  test.skipIf(!existsSync(status))("is what a process takes for training, within a factor of 2", async () => {
    const graph = middleSized();
    const sites = findSites(graph);
    const options = {
      sites,
      loss: meanSquaredError(),
      train: "all",
      optimizer: adam(),
      // The arena takes powers of two.
      session: { enableCpuMemArena: false },
    } as const;
    // The runtime itself, and the code of the trainer.
    const first = await openTrainer(graph, options);
    await first.fit([batchOf(1)]);
    await first.dispose();
    const batch = batchOf(6144);
    const before = numberIn("VmRSS");
    writeFileSync("/proc/self/clear_refs", "5"); // sets the peak back
    const trainer = await openTrainer(graph, options);
    const { memoryBytes } = await trainer.fit([batch, batch]);
    const taken = numberIn("VmHWM") - before;
    await trainer.dispose();
    expect(memoryBytes).toBeGreaterThan(100e6);
    expect(taken / memoryBytes).toBeGreaterThan(0.5);
    expect(taken / memoryBytes).toBeLessThan(2);
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
