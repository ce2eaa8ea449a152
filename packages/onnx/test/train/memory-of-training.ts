/**
 * Trains a network of 256 features, two hidden layers of 1024 and 10 outputs by batches of 6144, and prints the memory that was estimated
 * for it and what the process took at most, in bytes. To be run by itself, with `--expose-gc`, where there is a /proc.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { findSites } from "@dgate/onnx";
import { meanSquaredError } from "../../src/train/loss.ts";
import { adam } from "../../src/train/optimizer.ts";
import { openTrainer } from "../../src/train/trainer.ts";
import { GraphBuilder } from "../graph-builder.ts";
import { normals } from "./nets.ts";

const net = new GraphBuilder(1, 18);
const a = net.op("Relu", [net.gemm("fc1", net.input("x", ["batch", 256]), [256, 1024])]);
const b = net.op("Relu", [net.gemm("fc2", a, [1024, 1024])]);
const graph = net.output(net.gemm("out", b, [1024, 10]));
const options = {
  sites: findSites(graph),
  loss: meanSquaredError(),
  train: "all",
  optimizer: adam(),
  // The arena takes powers of two.
  session: { enableCpuMemArena: false },
} as const;

const batchOf = (rows: number) => ({
  x: { data: normals(1, rows * 256), shape: [rows, 256] },
  targets: { data: normals(2, rows * 10), shape: [rows, 10] },
});

const numberIn = (key: string): number =>
  1024 * Number(new RegExp(`${key}:\\s+(\\d+)`).exec(readFileSync("/proc/self/status", "utf8"))![1]);

// The runtime itself, and the code of the trainer.
const first = await openTrainer(graph, options);
await first.fit([batchOf(1)]);
await first.dispose();
const batch = batchOf(6144);
gc!();
const before = numberIn("VmRSS");
writeFileSync("/proc/self/clear_refs", "5"); // sets the peak back
const trainer = await openTrainer(graph, options);
const { memoryBytes } = await trainer.fit([batch, batch]);
const taken = numberIn("VmHWM") - before;
await trainer.dispose();
console.log(JSON.stringify({ estimated: memoryBytes, taken }));
