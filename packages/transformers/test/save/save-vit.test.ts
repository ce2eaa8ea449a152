import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as transformers from "@huggingface/transformers";
import { numbersOf, openRunner } from "@dgate/onnx";
import { dataFolder } from "@dgate/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type HeadGates, openHeadGates } from "../../src/index.ts";
import { cifarImages, cifarSide, type CifarImage, vitFolder } from "../vit-folder.ts";

const data = dataFolder();

type Classify = (
  image: transformers.RawImage,
  options?: object,
) => Promise<{ label: string; score: number }[]>;

const imageOf = ({ pixels }: CifarImage): transformers.RawImage =>
  new transformers.RawImage(pixels, cifarSide, cifarSide, 3);

describe.skipIf(!data)("saving a pruned vision transformer", () => {
  let folder = "";
  let parent = "";
  let gates: HeadGates;
  let images: CifarImage[] = [];

  beforeAll(async () => {
    folder = await vitFolder(data!);
    parent = await mkdtemp(join(tmpdir(), "dgate-save-"));
    images = await cifarImages(300, "test_subset_3000", data!);
    gates = await openHeadGates(folder, { sites: ["heads", "ffn"], transformers });
  });

  afterAll(async () => {
    await gates?.dispose();
    await Promise.all([folder, parent].map((each) => rm(each, { recursive: true, force: true })));
  });

  test("the pipeline is as good as the model's authors say", async () => {
    let right = 0;
    for (const image of images) {
      const [best] = (await gates.pipeline(imageOf(image))) as Awaited<ReturnType<Classify>>;
      const labels = gates.pipeline.model.config["label2id"] as Record<string, number>;
      if (labels[best!.label] === image.label) right += 1;
    }
    // 59.7 % of the whole subset, 181 of its first 300.
    expect(right / images.length).toBeGreaterThan(0.59);
    expect(right / images.length).toBeLessThan(0.62);
  });

  test("the heads of both layers are found", () => {
    expect(gates.heads.blocks.map(({ groups }) => groups)).toEqual([3, 3]);
  });

  test("the saved model gives the logits of the masked one", async () => {
    const [first, second] = gates.heads.blocks;
    const pruned = await gates.prune({ kept: { [first!.name]: [0, 2], [second!.name]: [1] } });
    const to = join(parent, "vit-small");
    const report = await pruned.save(to);
    expect(report.checks.map(({ dtype, opened }) => [dtype, opened])).toEqual([
      ["fp32", true],
      ["q8", true],
    ]);
    expect(report.after.parameters).toBeLessThan(report.before.parameters);
    const saved = await transformers.pipeline("image-classification", to, { dtype: "fp32" });
    const pixels = await saved.processor(images.slice(0, 8).map(imageOf));
    const { logits } = (await saved.model(pixels)) as { logits: { data: Float32Array } };
    const runner = await openRunner(pruned.files[0]!.pruned!.masked, gates.internals.runtime.engine);
    const { pixel_values } = pixels as { pixel_values: { data: Float32Array; dims: number[] } };
    const outputs = await runner.run({
      pixel_values: { dtype: "float32", data: pixel_values.data, shape: pixel_values.dims },
    });
    const masked = numbersOf(outputs["logits"]!);
    expect(Math.max(...Array.from(logits.data, (value, i) => Math.abs(value - masked[i]!)))).toBeLessThan(
      1e-4,
    );
    await runner.dispose();
    await saved.dispose();
  });
});
