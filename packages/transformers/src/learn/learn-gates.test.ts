import { readFileSync } from "node:fs";
import { join } from "node:path";
import { countCosts, readNumbers, verify } from "@dgate/onnx";
import { dataFolder } from "@dgate/testing";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { HeadGates } from "../head-gates.ts";
import { openHeadGates } from "../open-head-gates.ts";
import type { SiteGroup } from "../blocks/block.ts";
import { foldLive } from "../prune/prune-part.ts";
import type { LearnProgress } from "./learn-options.ts";

const data = dataFolder();
const model = join(data ?? "", "models/bert-mini-sst2");
const rows = data
  ? readFileSync(join(data, "sst2/glue-dev.tsv"), "utf8").trim().split("\n").slice(1, 65)
  : [];
const labelled = rows
  .map((row) => row.split("\t"))
  .map(([text, label]) => ({ text: text!, label: Number(label) }));
const texts = labelled.map(({ text }) => text);

/** Few steps: what is tested is what they are for, not how good they are. */
const quick = { steps: 12, batchSize: 4, heldOut: 0.25, latency: false, gateRate: 0.1 } as const;

const opened: HeadGates[] = [];
const open = async (sites: readonly SiteGroup[] = ["heads"], depth = 3): Promise<HeadGates> => {
  const gates = await openHeadGates(model, { sites, depth });
  opened.push(gates);
  return gates;
};

afterEach(async () => {
  for (const gates of opened.splice(0)) {
    await gates.dispose();
    await gates.pipeline.dispose?.();
  }
});

const openHeads = (gates: HeadGates): number =>
  gates.heads.values.flatMap((layer) => [...layer]).filter((gate) => gate !== 0).length;

describe.skipIf(!data)("learning gates of a trained BERT", { timeout: 120_000 }, () => {
  test("turns off as many heads as the target says, and prune removes them", async () => {
    const gates = await open();
    const seen: LearnProgress[] = [];
    const report = await gates.learn(texts, {
      ...quick,
      latency: true,
      target: { heads: 0.5 },
      onProgress: (progress) => seen.push(progress),
    });
    expect(openHeads(gates)).toBe(16);
    expect(report.steps).toBe(12);
    expect(report.losses).toHaveLength(12);
    expect(report.data).toMatchObject({ examples: 48, heldOut: 16, truncated: 0, empty: 0, maxLength: 64 });
    // The dense model is its own teacher.
    expect(report.dense.quality["loss"]).toBeCloseTo(0, 6);
    expect(report.dense.quality["agreement"]).toBe(1);
    expect(report.pruned.quality["loss"]).toBeCloseTo(report.gated.quality["loss"]!, 5);
    expect(report.pruned.macs).toBeLessThan(report.dense.macs);
    for (const stage of [report.dense, report.gated, report.pruned])
      expect(stage.latency!.medianMs).toBeGreaterThan(0);
    expect([...new Set(seen.map(({ phase }) => phase))]).toEqual([
      "encode",
      "score",
      "gate",
      "finish",
      "measure",
    ]);
    const pruned = await gates.prune();
    const [file] = pruned.files;
    expect(file!.pruned!.report.removed.reduce((sum, { kept }) => sum + kept, 0)).toBe(16);
    // What prune gives is what was learned: the dense layout with its gates folded.
    const part = gates.internals.parts[0]!;
    const folded = foldLive(part.live!, gates.gatesOf(part));
    expect(await verify(folded, file!.graph)).toMatchObject({ equal: true });
  });

  test("the first step has the dense model's loss: gates begin at one", async () => {
    const gates = await open();
    const { losses } = await gates.learn(texts, { ...quick, target: { heads: 0.9 } });
    expect(Math.abs(losses[0]!)).toBeLessThan(1e-6);
  });

  test.each(["groups", "all"] as const)(
    "with train: %s the weights learn, and what was turned off stays zero",
    async (train) => {
      const gates = await open(["heads", "ffn"]);
      const before = gates.internals.parts[0]!.graph;
      const report = await gates.learn(labelled, {
        ...quick,
        objective: "labels",
        train,
        target: { macs: 0.8 },
        learningRate: 1e-3,
      });
      const part = gates.internals.parts[0]!;
      const block = part.blocks.find(
        ({ name, groups }) => (report.kept.get(name)?.length ?? groups) < groups,
      )!;
      const weight = readNumbers(part.graph.value(block.site.tensor)!.data!);
      expect([...weight]).not.toEqual([...readNumbers(before.value(block.site.tensor)!.data!)]);
      const embeddings = "bert.embeddings.word_embeddings.weight";
      const former = readNumbers(before.value(embeddings)!.data!);
      const same = readNumbers(part.graph.value(embeddings)!.data!).every((value, i) => value === former[i]);
      expect(same).toBe(train === "groups");
      const pruned = await gates.prune();
      const dims = { batch_size: 1, sequence_length: 64 };
      const [file] = pruned.files;
      const left = countCosts(file!.graph, dims).macs / countCosts(before, dims).macs;
      expect(left).toBeLessThanOrEqual(0.8 + 1e-9);
      expect(await verify(part.graph, file!.graph)).toMatchObject({ equal: true });
      expect(report.pruned.quality["accuracy"]).toBeDefined();
    },
  );

  test("several rounds end where one does", async () => {
    const gates = await open();
    const report = await gates.learn(texts, { ...quick, steps: 18, rounds: 3, target: { heads: 0.25 } });
    expect(openHeads(gates)).toBe(8);
    expect(report.evaluations).toHaveLength(3);
    expect(report.steps).toBe(18);
  });

  test("scores that are given choose at once, and all steps train what stays", async () => {
    const gates = await open();
    const scores = await gates.importance("l2");
    const report = await gates.learn(texts, { ...quick, target: { heads: 0.5 }, scores });
    expect(report.lambda).toBe(0);
    const ranked = [...scores.values()].flatMap((layer) => [...layer]).sort((a, b) => b - a);
    // Of a layer that is left with one head, that one stays however weak it is.
    const chosen = [...report.kept].filter(([, kept]) => kept.length > 1);
    const weakest = Math.min(
      ...chosen.flatMap(([name, kept]) => kept.map((head) => scores.get(name)![head]!)),
    );
    expect(weakest).toBeGreaterThanOrEqual(ranked[16]!);
    expect(openHeads(gates)).toBe(16);
  });

  test("a large constant λ kills gates without a target; none at all is told", async () => {
    const gates = await open(["heads"], 2);
    const large = await gates.learn(texts, { ...quick, steps: 60, lambda: 10, gateRate: 0.05, finish: 0 });
    expect(openHeads(gates)).toBeLessThan(32);
    expect(large.warnings).toEqual([]);
    const none = await (await open()).learn(texts, { ...quick, lambda: 0 });
    expect(none.warnings[0]).toContain("no gate has died");
  });

  test("a speed-up of one is reached by the whole model, an impossible one says the closest", async () => {
    const gates = await open(["heads", "ffn"]);
    await expect(gates.learn(texts, { ...quick, target: { speedup: 1000 } })).rejects.toThrow(
      /target of 1000 times faster cannot be reached: .* times faster here/,
    );
  });

  test("cancelling ends it with ABORTED, and gates and weights are as before", async () => {
    const gates = await open();
    const controller = new AbortController();
    const before = gates.internals.parts[0]!.graph;
    const learning = gates.learn(texts, {
      ...quick,
      target: { heads: 0.5 },
      signal: controller.signal,
      onProgress: ({ step }) => step === 3 && controller.abort(),
    });
    await expect(learning).rejects.toMatchObject({ code: "ABORTED" });
    expect(openHeads(gates)).toBe(32);
    expect(gates.internals.parts[0]!.graph).toBe(before);
  });

  describe("refuses", () => {
    let gates: HeadGates;
    const learn = (examples: unknown, options: object = {}): Promise<unknown> =>
      // What a caller without types may give.
      gates.learn(examples as string[], { ...quick, ...options });

    beforeAll(async () => {
      gates = await openHeadGates(model);
      return async () => gates.pipeline.dispose?.();
    });

    test.each([
      [{ target: { heads: 0.01 } }, "OPTION", "12.5 % are left"],
      [{ target: { macs: 0.01 } }, "OPTION", "are left"],
      [{ objective: "next-token" }, "OPTION", "language model"],
      [{ objective: "embedding" }, "OPTION", "hidden states"],
      [{ objective: "labels" }, "DATA", "example 0 has no label"],
      [{ objective: "guess" }, "OPTION", "objective is guess"],
      [{ steps: 0 }, "OPTION", "steps is 0"],
      [{ heldOut: 1 }, "OPTION", "heldOut is 1"],
      [{ maxLength: 2.5 }, "OPTION", "maxLength is 2.5"],
    ])("%j", async (options, code, message) => {
      await expect(learn(texts, options)).rejects.toMatchObject({
        code,
        message: expect.stringContaining(message),
      });
    });

    test("data that is no list, has no text, or a label that the model does not have", async () => {
      await expect(learn("text")).rejects.toThrow("data is no list");
      await expect(learn(["", "  "])).rejects.toThrow("none of 2 examples has a text");
      await expect(learn(["one"])).rejects.toThrow("one example cannot be both learned from and scored on");
      await expect(learn([{ text: "good", label: 2 }, "bad"])).rejects.toThrow("example 0 has the label 2");
    });
  });
});
