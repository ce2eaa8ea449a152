import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import { afterAll, describe, expect, test } from "vitest";
import type { LabelledExample } from "../data/example.ts";
import type { HeadGates } from "../head-gates.ts";
import { openHeadGates } from "../open-head-gates.ts";
import { importanceOf } from "./importance.ts";

const data = dataFolder() ?? "";
const bertMini = join(data, "models/bert-mini-sst2");
const stories = join(data, "models/tinyllamas/stories260K");
const opened = new Map<string, HeadGates>();

async function open(folder: string): Promise<HeadGates> {
  const found = opened.get(folder) ?? (await openHeadGates(folder, { sites: ["heads", "ffn", "layers"] }));
  opened.set(folder, found);
  return found;
}

afterAll(async () => {
  for (const gates of opened.values()) await gates.dispose();
});

const reviews = (count: number): LabelledExample[] =>
  readFileSync(join(data, "sst2/glue-dev.tsv"), "utf8")
    .trim()
    .split("\n")
    .slice(1, count + 1)
    .map((line) => {
      const [text, label] = line.split("\t");
      return { text: text!, label: Number(label) };
    });

describe.skipIf(!existsSync(bertMini))("a sentiment classifier", () => {
  test("gradient: the central difference of the pipeline's own loss through attached gates", async () => {
    const gates = await open(bertMini);
    const examples = reviews(3);
    const scores = await importanceOf(gates, "gradient", examples, { objective: "labels" });
    const detach = await gates.attach();
    const names = ["LABEL_0", "LABEL_1"];
    const loss = async ({ text, label }: LabelledExample): Promise<number> => {
      const found = (await gates.pipeline(text, { top_k: 2 })) as { label: string; score: number }[];
      const own = found.find((each) => each.label === names[label as number] || Number(each.label) === label);
      const index = gates.internals.model.config["id2label"] as Record<string, string>;
      return -Math.log((own ?? found.find((each) => each.label === index[String(label)])!).score);
    };
    const step = 2e-2;
    for (const [layer, head] of [
      [0, 0],
      [0, 4],
      [1, 2],
      [2, 7],
      [3, 3],
    ] as const) {
      let mean = 0;
      for (const example of examples) {
        gates.set(layer, head, 1 + step);
        const up = await loss(example);
        gates.set(layer, head, 1 - step);
        mean += Math.abs(up - (await loss(example))) / (2 * step) / examples.length;
        gates.set(layer, head, 1);
      }
      const score = scores.get(gates.heads.blocks[layer]!.name)![head]!;
      expect(Math.abs(score - mean), `${layer}.${head}: ${score} ${mean}`).toBeLessThan(2e-4 + 0.02 * mean);
    }
    await detach();
  });

  test("every method scores every group that has a gate, the same way each time", async () => {
    const gates = await open(bertMini);
    for (const method of ["l2", "gradient", "wanda", "random"] as const) {
      const options = { seed: 4, examples: 12 };
      const scores = await importanceOf(gates, method, reviews(20), options);
      expect([...scores.values()].map(({ length }) => length)).toEqual([
        8, 8, 8, 8, 1024, 1024, 1024, 1024, 1, 1, 1, 1, 1, 1, 1, 1,
      ]);
      expect(
        [...scores.values()].every((values) => values.every((score) => Number.isFinite(score) && score >= 0)),
      ).toBe(true);
      expect(await importanceOf(gates, method, reviews(20), options)).toEqual(scores);
    }
  });

  test("normalised layers have the norm 1", async () => {
    const gates = await open(bertMini);
    const scores = await importanceOf(gates, "wanda", reviews(4), { normalise: true });
    for (const { name } of gates.heads.blocks) expect(Math.hypot(...scores.get(name)!)).toBeCloseTo(1, 10);
  });

  test("progress counts the examples that are used", async () => {
    const gates = await open(bertMini);
    const steps: number[] = [];
    await importanceOf(gates, "gradient", reviews(9), {
      examples: 5,
      onProgress: ({ step }) => steps.push(step),
    });
    expect(steps).toEqual([1, 2, 3, 4, 5]);
  });

  test("it can be cancelled", async () => {
    const gates = await open(bertMini);
    const controller = new AbortController();
    const scoring = importanceOf(gates, "gradient", reviews(9), {
      signal: controller.signal,
      onProgress: () => controller.abort(),
    });
    await expect(scoring).rejects.toMatchObject({ code: "ABORTED" });
  });

  test("what is wrong with options and data is said", async () => {
    const gates = await open(bertMini);
    await expect(importanceOf(gates, "taylor" as "l2")).rejects.toMatchObject({ code: "OPTION" });
    for (const options of [{ batchSize: 0 }, { examples: 1.5 }, { maxLength: -1 }, { seed: Number.NaN }])
      await expect(importanceOf(gates, "wanda", ["a"], options)).rejects.toMatchObject({ code: "OPTION" });
    await expect(importanceOf(gates, "wanda", [])).rejects.toMatchObject({ code: "DATA" });
    await expect(
      importanceOf(gates, "gradient", ["no label"], { objective: "labels" }),
    ).rejects.toMatchObject({ code: "DATA" });
    await expect(
      importanceOf(gates, "gradient", ["a text"], { objective: "next-token" }),
    ).rejects.toMatchObject({ code: "OPTION" });
  });
});

describe.skipIf(!existsSync(stories))("a decoder with grouped queries and a cache", () => {
  test("every method scores key–value heads, gated neurons and branches", async () => {
    const gates = await open(stories);
    const texts = [
      "Once upon a time there was a little girl.",
      "Tom had a red ball. He liked to play.",
      "Hi",
    ];
    for (const method of ["l2", "gradient", "wanda", "random"] as const) {
      const scores = await importanceOf(gates, method, texts, { objective: "next-token" });
      const sizes = [...scores.values()].map(({ length }) => length);
      expect(sizes).toEqual([
        ...Array<number>(5).fill(4),
        ...Array<number>(5).fill(172),
        ...Array<number>(10).fill(1),
      ]);
      expect(
        [...scores.values()].every((values) => values.every((score) => score >= 0 && Number.isFinite(score))),
      ).toBe(true);
    }
  });
});
