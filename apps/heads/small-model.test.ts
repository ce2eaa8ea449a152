import { findSites, inferShapes, openRunner, readModel, writeModel } from "@dgate/onnx";
import { tolerances } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { smallBatch, smallModel, smallModelFiles, smallSizes } from "./small-model.ts";
import { opinions } from "./small-texts.ts";

describe("the built-in model", () => {
  test("its heads are found as layers × heads, and its feed-forward neurons", () => {
    const sites = findSites(readModel(writeModel(smallModel(1))));
    const sizes = (kind: string, name: RegExp): number[] =>
      sites.filter((site) => site.kind === kind && name.test(site.name)).map(({ groups }) => groups);
    expect(sizes("heads", /attention/)).toEqual(Array(smallSizes.layers).fill(smallSizes.heads));
    expect(sizes("neurons", /\/up\//)).toEqual(Array(smallSizes.layers).fill(smallSizes.hidden));
  });

  test("padding does not change what it says of a sentence", async () => {
    const graph = smallModel(1);
    const runner = await openRunner(graph);
    const examples = opinions(8, 5).toSorted((a, b) => a.text.length - b.text.length);
    const { labels: _, ...together } = smallBatch(examples);
    const { labels: __, ...alone } = smallBatch(examples.slice(0, 1));
    const [padded, plain] = [await runner.run(together), await runner.run(alone)];
    expect(Number(together.input_ids.shape[1])).toBeGreaterThan(Number(alone.input_ids.shape[1]));
    expect(Array.from(plain["logits"]!.data as Float32Array)).toBeAllClose(
      Array.from(padded["logits"]!.data as Float32Array).slice(0, 2),
      tolerances.float32,
    );
    await runner.dispose();
  });

  test("the same seed draws the same weights", () => {
    expect(writeModel(smallModel(3))).toEqual(writeModel(smallModel(3)));
    expect(writeModel(smallModel(3))).not.toEqual(writeModel(smallModel(4)));
  });

  test("tokenizer, configuration and graph have the same words, and every sentence fits", () => {
    const { "config.json": config, "tokenizer.json": tokenizer } = smallModelFiles();
    const { vocab } = JSON.parse(tokenizer).model;
    const graph = smallModel(1);
    inferShapes(graph);
    expect(JSON.parse(config).vocab_size).toBe(Object.keys(vocab).length);
    expect(graph.value("/embeddings/words/weight")!.type!.shape![0]).toBe(Object.keys(vocab).length);
    const { input_ids } = smallBatch(opinions(500, 9));
    expect(input_ids.shape[1]).toBeLessThanOrEqual(smallSizes.positions);
    expect([...input_ids.data].every((id) => id >= 0n && id !== BigInt(vocab["[UNK]"]))).toBe(true);
  });
});
