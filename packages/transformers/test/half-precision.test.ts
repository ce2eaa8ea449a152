import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeModel } from "@dgate/onnx";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { HeadGates } from "../src/head-gates.ts";
import { openHeadGates } from "../src/open-head-gates.ts";
import { inHalfPrecision } from "./half-precision.ts";
import { tinyBertFolder, tinyTexts } from "./tiny-bert-folder.ts";

let folder: string;
let gates: HeadGates;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-half-"));
  await tinyBertFolder(folder, {
    head: "none",
    config: { architectures: ["BertModel"] },
    files: (graph) => ({ "onnx/model_fp16.onnx": writeModel(inHalfPrecision(graph)) }),
  });
  gates = await openHeadGates(folder);
});

afterAll(async () => {
  await gates.pipeline.dispose?.();
  await rm(folder, { recursive: true });
});

const states = async (): Promise<number[]> => {
  const { data } = (await gates.pipeline(tinyTexts[0]!)) as { readonly data: Float32Array }; // a tensor of the library
  return [...data];
};

const gap = (a: readonly number[], b: readonly number[]): number =>
  Math.max(...a.map((x, i) => Math.abs(x - b[i]!)));

test("gates of a model in half precision act, and pruning does what they do", async () => {
  const dense = await states();
  const detach = await gates.attach();
  expect(gap(await states(), dense)).toBeLessThan(5e-3);
  gates.set(0, 1, 0).set(1, 2, 0);
  const off = await states();
  expect(gap(off, dense)).toBeGreaterThan(5e-2);
  await detach();
  const restore = await (await gates.prune()).attach();
  expect(gap(await states(), off)).toBeLessThan(5e-3);
  await restore();
  gates.reset();
});

test.each(["gates", "groups"] as const)(
  "embeddings of a model in half precision are learned with train: %s, its weights stay of their type",
  async (train) => {
    const texts = Array.from({ length: 4 }, () => tinyTexts).flat();
    const options = {
      steps: 6,
      batchSize: 4,
      latency: false,
      gateRate: 0.1,
      target: { heads: 0.5 },
    } as const;
    const report = await gates.learn(texts, { ...options, train, objective: "embedding" });
    expect(report.dense.quality["cosine"]).toBeCloseTo(1, 3);
    expect(report.pruned.quality["cosine"]).toBeGreaterThan(0.5);
    const [file] = (await gates.prune()).files;
    const types = new Set(file!.graph.initializers.map(({ data }) => data!.dtype));
    expect(types).toEqual(new Set(["float16", "int64"]));
  },
);
