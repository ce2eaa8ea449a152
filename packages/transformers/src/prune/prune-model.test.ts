import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { countCosts, type Graph, readNumbers, verify } from "@dgate/onnx";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { tinyBertFolder } from "../../test/tiny-bert-folder.ts";
import type { GatedBlock } from "../blocks/block.ts";
import type { HeadGates } from "../head-gates.ts";
import { openHeadGates } from "../open-head-gates.ts";
import type { PruneOptions } from "./prune-model.ts";
import { foldLive } from "./prune-part.ts";

let folder: string;
/** Gates of the same model: of its heads, of all sites. */
let heads: HeadGates;
let all: HeadGates;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-prune-"));
  await tinyBertFolder(folder);
  heads = await openHeadGates(folder);
  all = await openHeadGates(folder, { sites: ["heads", "ffn", "layers"] });
});

afterEach(() => {
  heads.reset();
  all.reset();
});

afterAll(async () => {
  for (const gates of [heads, all]) await gates.pipeline.dispose?.();
  await rm(folder, { recursive: true });
});

const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, i) => from + i);

/** The dense model with gates at zero for what does not stay. */
function masked(gates: HeadGates, kept: ReadonlyMap<string, readonly number[]>): Graph {
  const [part] = gates.internals.parts;
  const off = new Map(
    [...gates.gatesOf(part!)].map(([name, values]) => {
      const own = kept.get(name);
      return [name, own ? values.map((value, group) => (own.includes(group) ? value : 0)) : values];
    }),
  );
  return foldLive(part!.live!, off);
}

/** Prunes, compares with the masked model, and gives what stays. */
async function prune(gates: HeadGates, options?: PruneOptions) {
  const pruned = await gates.prune(options);
  const [file] = pruned.files;
  const dims = { batch_size: 2, sequence_length: 7 };
  const same = await verify(masked(gates, pruned.kept), file!.graph, { runtime: "node", dims });
  expect(same).toMatchObject({ equal: true });
  expect(file!.pruned!.verification.equal).toBe(true);
  expect(countCosts(file!.graph, file!.dims)).toMatchObject({
    macs: file!.after.macs,
    parameters: file!.after.parameters,
  });
  expect(file!.after.macs).toBeLessThan(file!.before.macs);
  return { file: file!, kept: pruned.kept, sizes: sizesOf(gates, pruned.kept) };
}

/** Numbers of groups that stay, layer by layer. */
function sizesOf(gates: HeadGates, kept: ReadonlyMap<string, readonly number[]>) {
  const of = (blocks: readonly GatedBlock[]): number[] =>
    blocks.map(({ name, groups }) => kept.get(name)?.length ?? groups);
  return { heads: of(gates.heads.blocks), ffn: of(gates.ffn.blocks), layers: of(gates.layers.blocks) };
}

/** Scores of heads: 1, 2, 3 … in the order of the layers, as given for some blocks. */
const scoresOf = (blocks: readonly GatedBlock[], given: readonly (readonly number[])[]) =>
  new Map(
    blocks.map(({ name, groups }, i) => [name, Float64Array.from(given[i] ?? Array(groups).fill(1e3))]),
  );

const operators = (graph: Graph, op: string): number => [...graph.nodes(op)].length;

describe("what goes", () => {
  test("gates that are off go, those that are not one are folded in", async () => {
    heads.set(0, 1, 0).set(0, 3, 0).set(1, 2, 0.25);
    const { kept, sizes } = await prune(heads);
    expect([...kept]).toEqual([[heads.heads.blocks[0]!.name, [0, 2]]]);
    expect(sizes.heads).toEqual([2, 4]);
  });

  test("keep ranks heads over all layers by the size of their gates", async () => {
    for (const [layer, gates] of [
      [9, 8, -7, 0.5],
      [0.4, 0.3, 6, 0.2],
    ].entries()) {
      gates.forEach((value, head) => heads.set(layer, head, value));
    }
    const { kept } = await prune(heads, { keep: 0.5 });
    expect([...kept.values()]).toEqual([[0, 1, 2], [2]]);
  });

  test("before anything is learned keep ranks by the weights' norms", async () => {
    const scores = await heads.importance("l2");
    const [plain, ranked] = [await prune(heads, { keep: 0.5 }), await prune(heads, { keep: 0.5, scores })];
    expect([...plain.kept]).toEqual([...ranked.kept]);
  });

  test("scores decide in place of the gates", async () => {
    const scores = scoresOf(heads.heads.blocks, [
      [4, 1, 2, 3],
      [5, 8, 7, 6],
    ]);
    expect([...(await prune(heads, { keep: 0.5, scores })).kept.values()]).toEqual([[0], [1, 2, 3]]);
    const { kept } = await prune(heads, { keep: 0.5, scores, even: true });
    expect([...kept.values()]).toEqual([
      [0, 3],
      [1, 2],
    ]);
  });

  test("kept names what stays, in any order; blocks that are not named stay whole", async () => {
    const { name } = heads.heads.blocks[1]!;
    const { kept, sizes, file } = await prune(heads, { kept: { [name]: [3, 0, 3] } });
    expect([...kept]).toEqual([[name, [0, 3]]]);
    expect(sizes.heads).toEqual([4, 2]);
    // Heads are cut out of the projections as they stand: the weight of the queries has rows of heads 0 and 3.
    const { site } = heads.heads.blocks[1]!;
    const [dense, small] = [heads.internals.parts[0]!.graph, file.graph].map((graph) => {
      return graph.value(site.tensor)!.data!;
    });
    expect(small!.shape).toEqual([16, 8]);
    const columns = [...range(0, 4), ...range(12, 16)];
    const rows = [...readNumbers(dense!)].filter((_, i) => columns.includes(i % 16));
    expect([...readNumbers(small!)]).toEqual(rows);
  });

  test("minimum 0: a layer that loses all its heads goes as a branch, and the result is the masked model's", async () => {
    const scores = scoresOf(heads.heads.blocks, [[1, 2, 3, 4]]);
    const { sizes, file } = await prune(heads, { keep: 0.5, scores, minimum: 0 });
    expect(sizes.heads).toEqual([0, 4]);
    expect(operators(file.graph, "Softmax")).toBe(operators(heads.internals.parts[0]!.graph, "Softmax") - 1);
    // With the default a head of it stays.
    expect((await prune(heads, { keep: 0.5, scores })).sizes.heads).toEqual([1, 3]);
  });

  test("minimum is how many heads every layer keeps", async () => {
    const scores = scoresOf(heads.heads.blocks, [[1, 2, 3, 4]]);
    expect((await prune(heads, { keep: 0.5, scores, minimum: 2 })).sizes.heads).toEqual([2, 2]);
    // No more go than may.
    expect((await prune(heads, { keep: 0.1, scores, minimum: 3 })).sizes.heads).toEqual([3, 3]);
  });

  test("gates of a whole layer at zero remove its attention", async () => {
    for (const head of range(0, 4)) heads.set(0, head, 0);
    const { sizes, file } = await prune(heads);
    expect(sizes.heads).toEqual([0, 4]);
    expect(operators(file.graph, "Softmax")).toBe(1);
  });

  test("a feed-forward layer whose neurons are all off goes as a branch", async () => {
    for (const neuron of range(0, 24)) all.ffn.set(0, neuron, 0);
    all.set(1, 0, 0);
    const { sizes, file } = await prune(all);
    expect(sizes).toEqual({ heads: [4, 3], ffn: [0, 24], layers: [1, 1, 1, 1] });
    expect(operators(file.graph, "Erf")).toBe(1);
  });

  test("heads, neurons and branches together", async () => {
    all.set(0, 1, 0);
    for (const neuron of range(0, 10)) all.ffn.set(1, neuron, 0);
    all.layers.set(1, 0, 0);
    const { sizes, file } = await prune(all);
    // Branches: attention and feed-forward of layer 0, then of layer 1. 14 neurons are left, and 2 stay for a multiple of 8.
    expect(sizes).toEqual({ heads: [3, 4], ffn: [24, 16], layers: [1, 0, 1, 1] });
    expect(operators(file.graph, "Softmax")).toBe(2);
    expect(operators(file.graph, "Erf")).toBe(1);
  });

  test("heads of a branch that goes are no hindrance", async () => {
    all.set(0, 1, 0);
    all.layers.set(0, 0, 0);
    const { sizes, file } = await prune(all);
    expect(sizes.layers).toEqual([0, 1, 1, 1]);
    expect(operators(file.graph, "Softmax")).toBe(1);
  });

  test.each([
    [8, [16, 16]],
    [1, [14, 16]],
    [5, [15, 20]],
    [100, [24, 24]],
  ])("neurons are aligned to %i", async (align, ffn) => {
    all.set(0, 0, 0);
    for (const neuron of range(3, 13)) all.ffn.set(0, neuron, 0);
    for (const neuron of range(16, 24)) all.ffn.set(1, neuron, 0);
    const { sizes, kept } = await prune(all, { align });
    expect(sizes.ffn).toEqual(ffn);
    const own = kept.get(all.ffn.blocks[1]!.name) ?? range(0, 24);
    expect(own).toEqual(expect.arrayContaining(range(0, 16)));
  });

  test("keep takes heads, neurons and branches each by its own count", async () => {
    const scores = new Map(
      all.blocks.map(({ name, groups }) => [name, Float64Array.from({ length: groups }, (_, i) => i + 1)]),
    );
    const { sizes } = await prune(all, { keep: 0.75, scores });
    expect(sizes.heads).toEqual([3, 3]);
    expect(sizes.ffn.reduce((a, b) => a + b)).toBeLessThanOrEqual(36);
    expect(sizes.layers.reduce((a, b) => a + b)).toBe(3);
  });
});

describe("refuses", () => {
  test.each<[string, PruneOptions, string, string]>([
    ["nothing to remove", {}, "NO_MATCH", "all 2 blocks keep all their heads; call learn with a target"],
    ["all to stay", { keep: 1 }, "NO_MATCH", "keep all their heads"],
    ["keep 0", { keep: 0 }, "OPTION", "keep is the fraction that stays, above 0 and at most 1, got 0"],
    ["keep above 1", { keep: 50 }, "OPTION", "got 50"],
    ["keep NaN", { keep: Number.NaN }, "OPTION", "got NaN"],
    ["minimum", { keep: 0.5, minimum: -1 }, "OPTION", "minimum is -1"],
    ["scores without keep", { scores: new Map() }, "OPTION", "scores says how keep is met"],
    ["even without keep", { even: true }, "OPTION", "even says how keep is met"],
    ["minimum beside kept", { kept: {}, minimum: 2 }, "OPTION", "minimum says how keep is met"],
    ["align 0", { keep: 0.5, align: 0 }, "OPTION", "align is 0"],
    ["align 0 without keep", { align: 0 }, "OPTION", "align is 0"],
    ["a fractional align", { kept: {}, align: 2.5 }, "OPTION", "align is 2.5"],
    [
      "a block that is not there",
      { kept: { nowhere: [0] } },
      "GROUP",
      'there is no block "nowhere"; there are /bert',
    ],
  ])("%s", async (_, options, code, message) => {
    await expect(heads.prune(options)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message),
    });
  });

  test("a group that is not there", async () => {
    const { name } = heads.heads.blocks[0]!;
    for (const head of [4, -1, 0.5]) {
      await expect(heads.prune({ kept: { [name]: [0, head] } })).rejects.toMatchObject({
        code: "GROUP",
        message: `prune: "${name}" has 4 groups (0 to 3), not ${head}.`,
      });
    }
  });

  test("keep and kept at once", async () => {
    await expect(heads.prune({ keep: 0.5, kept: {} })).rejects.toThrow("keep and kept");
  });

  test("scores that are NaN", async () => {
    const scores = scoresOf(heads.heads.blocks, [[1, Number.NaN, 2, 3]]);
    await expect(heads.prune({ keep: 0.5, scores })).rejects.toMatchObject({ code: "DATA" });
  });

  test("after the signal", async () => {
    const found = heads.prune({ keep: 0.5, signal: AbortSignal.abort() });
    await expect(found).rejects.toMatchObject({ code: "ABORTED" });
  });
});
