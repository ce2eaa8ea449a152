import {
  mkdtempSync,
  openSync,
  closeSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { PrunePlan } from "@dgate/core";
import { afterAll, expect, test } from "vitest";
import { Graph } from "../src/graph/graph.ts";
import { openModelFile, readModelFile } from "../src/io/read-file.ts";
import { gatherTensor } from "../src/io/tensor-data.ts";
import { writeModelFile } from "../src/io/write-file.ts";
import { modelMessage } from "../src/io/write.ts";
import { mask } from "../src/prune/mask.ts";
import { planFrom } from "../src/plan/plan-from.ts";
import { prune } from "../src/prune/prune.ts";
import { findSites } from "../src/sites/find-sites.ts";
import { verify } from "../src/verify/verify.ts";

const nightly = process.env.DGATE_NIGHTLY === "1";

/** Layers of width × width float32: 2.25 GiB in the nightly run, 192 KiB else. */
const [layers, width] = nightly ? [9, 8192] : [3, 128];
const layerBytes = 4 * width * width;
/** Rows of a weight that are not zero. They lie together: a file of many scattered pages takes minutes to delete. */
const fullRows = 16;

const folder = mkdtempSync(join(tmpdir(), "dgate-large-"));
afterAll(() => rmSync(folder, { recursive: true }));
const path = join(folder, "large.onnx");
const dataPath = `${path}_data`;

/**
 * A chain of Gemm and Relu whose weights lie in a sparse file: zeros but for the first rows. Of each layer the odd neurons are twice
 * as strong as the even ones.
 */
function writeLargeModel(): void {
  const graph = new Graph("large");
  let x = graph.addInput("x", { dtype: "float32", shape: ["batch", width] });
  const type = { dtype: "float32", shape: [width, width] } as const;
  // Contents stand in for what the file holds; the message only names their places.
  const places = new Map<Uint8Array, number>();
  for (let i = 0; i < layers; i++) {
    const bytes = new Uint8Array(0);
    places.set(bytes, i * layerBytes);
    const weight = graph.addInitializer(`w${i}`, { ...type, bytes });
    const product = graph.addNode({ op: "Gemm", name: `layer${i}`, inputs: [x, weight] });
    x = graph.addNode({ op: "Relu", inputs: product.outputs }).outputs[0]!;
  }
  graph.addOutput(x);
  const message = modelMessage(graph, ({ bytes }) => {
    return { location: "large.onnx_data", offset: places.get(bytes)!, length: layerBytes };
  });
  writeFileSync(path, message.finish());
  writeFileSync(dataPath, "");
  truncateSync(dataPath, layers * layerBytes);
  const file = openSync(dataPath, "r+");
  const row = Float32Array.from({ length: width }, (_, j) => (j % 2 ? 1 : 0.5) / fullRows);
  const rows = Buffer.concat(Array.from({ length: fullRows }, () => new Uint8Array(row.buffer)));
  for (let i = 0; i < layers; i++) writeSync(file, rows, 0, rows.length, i * layerBytes);
  closeSync(file);
}

/** The weights that must be left: rows and columns 1, 3, 5, … but for the model's own inputs and outputs. */
function expectPruned(graph: Graph, small: Graph): void {
  const odd = Array.from({ length: width / 2 }, (_, i) => 2 * i + 1);
  for (let i = 0; i < layers; i++) {
    let expected = graph.value(`w${i}`)!.data!;
    if (i > 0) expected = gatherTensor(expected, 0, odd);
    if (i < layers - 1) expected = gatherTensor(expected, 1, odd);
    const found = small.value(`w${i}`)!.data!;
    expect(found.shape).toEqual(expected.shape);
    expect(Buffer.compare(found.bytes, expected.bytes)).toBe(0);
  }
}

const peakGB = (): string => (process.resourceUsage().maxRSS / 2 ** 20).toFixed(2);

/** Runs a step and says how long it took and what the process has taken at most. */
async function timed<T>(name: string, step: () => T | Promise<T>): Promise<T> {
  const before = performance.now();
  const result = await step();
  if (nightly) {
    console.info(`${name}: ${((performance.now() - before) / 1000).toFixed(1)} s, peak ${peakGB()} GiB`);
  }
  return result;
}

async function readAndPrune(out: string): Promise<PrunePlan> {
  const { graph, sizeBytes } = await timed("read", () => openModelFile(path));
  expect(sizeBytes).toBe(statSync(path).size + layers * layerBytes);
  const plan = await timed("plan", () => planFrom(findSites(graph), { sparsity: 0.5 }));
  const { graph: small } = await timed("prune", () => prune(graph, plan));
  const { files } = await timed("write", () => writeModelFile(out, small));
  expect(files).toEqual([out, `${out}_data`]);
  expectPruned(graph, await timed("read back", () => readModelFile(out)));
  return plan;
}

test(`a model of ${layers} × ${layerBytes} bytes is read, pruned by half, written, read back and proven`, async () => {
  const out = join(folder, "small.onnx");
  await timed("make", writeLargeModel);
  const plan = await readAndPrune(out);
  const masked = await timed("mask", async () => mask(await readModelFile(path), plan));
  const found = await timed("verify", async () =>
    verify(masked, await readModelFile(out), { runtime: "node", runs: 2 }),
  );
  expect(found).toMatchObject({ equal: true, runtime: "node" });
  expect(found.maxRelDiff).toBeLessThan(1e-5);
}, 1_800_000);
