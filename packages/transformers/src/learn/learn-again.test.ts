import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readNumbers, verify } from "@dgate/onnx";
import { afterAll, beforeAll, expect, test } from "vitest";
import { stories } from "../../test/decoder/stories.ts";
import { tinyBertFolder, tinyTexts } from "../../test/tiny-bert-folder.ts";
import type { HeadGates } from "../head-gates.ts";
import { openHeadGates } from "../open-head-gates.ts";

let folder: string;
const opened: HeadGates[] = [];

const open = async (source = folder): Promise<HeadGates> => {
  const gates = await openHeadGates(source);
  opened.push(gates);
  return gates;
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-learn-"));
  await tinyBertFolder(folder);
});

afterAll(async () => {
  for (const gates of opened) await gates.pipeline.dispose?.();
  await rm(folder, { recursive: true });
});

const texts = Array.from({ length: 4 }, () => tinyTexts).flat();
const quick = { steps: 8, batchSize: 4, latency: false, gateRate: 0.1 } as const;

const openHeads = (gates: HeadGates): number[] =>
  gates.heads.values.map((layer) => layer.filter((gate) => gate !== 0).length);

const sum = (counts: readonly number[]): number => counts.reduce((a, b) => a + b, 0);

test.each(["gates", "groups"] as const)(
  "with train: %s, cancelling after the last step leaves gates and weights as they were",
  async (train) => {
    const gates = await open();
    gates.set(0, 1, 0.5);
    const [part] = gates.internals.parts;
    const before = { graph: part!.graph, live: part!.live, values: gates.heads.values };
    const controller = new AbortController();
    const learning = gates.learn(texts, {
      ...quick,
      train,
      target: { heads: 0.5 },
      signal: controller.signal,
      onProgress: ({ phase }) => phase === "measure" && controller.abort(),
    });
    await expect(learning).rejects.toMatchObject({ code: "ABORTED" });
    expect(gates.heads.values).toEqual(before.values);
    expect(part!.graph).toBe(before.graph);
    expect(part!.live).toBe(before.live);
    expect(gates.learned).toBeUndefined();
  },
);

test("learning again compares with the dense model, not with what was learned before", async () => {
  const gates = await open();
  const first = await gates.learn(texts, {
    ...quick,
    train: "groups",
    learningRate: 0.1,
    target: { heads: 0.5 },
  });
  const second = await gates.learn(texts, { ...quick, target: { heads: 0.5 } });
  expect(second.dense.quality["loss"]).toBeCloseTo(0, 6);
  expect(first.pruned.quality["loss"]).toBeGreaterThan(1e-4);
  // The teacher of its first step is the dense model as well, of which the learned one is no copy.
  expect(second.losses[0]!).toBeGreaterThan(1e-4);
});

test("heads whose weights were turned off stay off", async () => {
  const gates = await open();
  await gates.learn(texts, { ...quick, train: "groups", target: { heads: 0.5 } });
  const off = openHeads(gates);
  expect(sum(off)).toBe(4);
  await gates.learn(texts, { ...quick, lambda: 0 });
  expect(openHeads(gates)).toEqual(off);
  await gates.learn(texts, { ...quick, target: { heads: 0.75 } });
  expect(sum(openHeads(gates))).toBeLessThanOrEqual(4);
});

test("without a target a layer keeps a head, and with even all keep the same number", async () => {
  const gates = await open();
  const large = { ...quick, steps: 60, lambda: 100, finish: 0, gateRate: 0.05 };
  const report = await gates.learn(texts, large);
  expect(openHeads(gates)).toEqual([1, 1]);
  // It is the strongest one that stays.
  for (const [name, [head]] of report.kept)
    expect(report.scores.get(name)![head!]).toBe(Math.max(...report.scores.get(name)!));
  await gates.learn(texts, { ...large, minimum: 3 });
  expect(openHeads(gates)).toEqual([3, 3]);
  await gates.learn(texts, { ...quick, steps: 30, lambda: 0.3, finish: 0, even: true });
  expect(new Set(openHeads(gates)).size).toBe(1);
});

test.skipIf(!stories)("with trained weights a decoder keeps its caches", { timeout: 60_000 }, async () => {
  const gates = await open(stories);
  const [part] = gates.internals.parts;
  const names = part!.graph.outputs.map(({ name }) => name);
  expect(names).toContain("present.0.key");
  const tales = [
    "Once upon a time there was a cat.",
    "One day a dog ran.",
    "Lily liked to play.",
    "It was hot.",
  ];
  await gates.learn(tales, { ...quick, steps: 4, train: "groups", target: { heads: 0.5 } });
  expect(part!.graph.outputs.map(({ name }) => name)).toEqual(names);
  const small = await gates.prune();
  expect(small.files[0]!.graph.outputs.map(({ name }) => name)).toEqual(names);
  expect(small.caches?.decoder).toEqual([2, 2, 2, 2, 2]);
});

test("a pruned model keeps the report of what it was made from", async () => {
  const gates = await open();
  const report = await gates.learn(texts, { ...quick, target: { heads: 0.5 } });
  const small = await gates.prune();
  expect(small.learned).toBe(report);
  await gates.learn(texts, { ...quick, target: { heads: 0.75 } });
  expect(small.learned).toBe(report);
  expect((await gates.prune({ keep: 0.25 })).learned).toBeUndefined();
});

test.each(["groups", "all"] as const)(
  "with train: %s what was turned off does not come back while the rest trains on",
  async (train) => {
    const gates = await openHeadGates(folder, { sites: ["heads", "ffn", "layers"] });
    opened.push(gates);
    const options = { ...quick, steps: 24, rounds: 2, train, target: { macs: 0.4 } };
    const report = await gates.learn(texts, { ...options, learningRate: 1e-2 });
    const gone = gates.layers.blocks.filter(({ name }) => report.kept.get(name)!.length === 0);
    expect(gone.length).toBeGreaterThan(0);
    // The weights alone say what is off, whatever the gates.
    const { files } = await gates.prune();
    expect(await verify(gates.internals.parts[0]!.graph, files[0]!.graph)).toMatchObject({ equal: true });
  },
);

test("training that makes the rest worse is told", async () => {
  const gates = await open();
  const options = { ...quick, train: "all", target: { heads: 0.5 } } as const;
  const { warnings } = await gates.learn(texts, { ...options, learningRate: 10 });
  expect(warnings).toEqual([expect.stringContaining("made the loss on held-out data larger")]);
});

test("a pipeline that is attached runs the weights that were learned", async () => {
  const gates = await open();
  const scores = (): Promise<unknown> => gates.pipeline("a good film");
  const detach = await gates.attach();
  await gates.learn(texts, { ...quick, train: "groups", learningRate: 0.1, target: { heads: 0.5 } });
  const attached = await scores();
  await detach();
  const dense = await scores();
  const again = await gates.attach();
  expect(await scores()).toEqual(attached);
  expect(attached).not.toEqual(dense);
  await again();
  expect(await scores()).toEqual(dense);
});

test("weights learn in all matrices of a head, and the dense model stays as it was", async () => {
  const gates = await open();
  const [part] = gates.internals.parts;
  const tensor = part!.blocks[0]!.site.tensor;
  const before = Array.from(readNumbers(part!.dense.value(tensor)!.data!), Number);
  await gates.learn(texts, { ...quick, train: "groups", learningRate: 1e-2, target: { heads: 0.5 } });
  expect(Array.from(readNumbers(part!.dense.value(tensor)!.data!), Number)).toEqual(before);
  expect(Array.from(readNumbers(part!.graph.value(tensor)!.data!), Number)).not.toEqual(before);
});
