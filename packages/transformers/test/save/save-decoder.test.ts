import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openHeadGates } from "../../src/index.ts";
import type { PrunedTransformer } from "../../src/prune/pruned-transformer.ts";
import { libraries, runIn } from "./run-in.ts";

const data = dataFolder();
// Version 2 leaves the token that starts a text out, of the dense model too: after this one all the same follows.
const texts = ["Once upon a time, there was a little girl named Lily."];
const task = "text-generation";

describe.skipIf(!data)("saving a pruned decoder", () => {
  let parent = "";
  let pruned: PrunedTransformer;
  /** What the pruned model generates where it stands in the opened pipeline. */
  const expected: string[] = [];

  beforeAll(async () => {
    parent = await mkdtemp(join(tmpdir(), "dgate-save-"));
    const gates = await openHeadGates(join(data!, "models/tinyllamas/stories260K"));
    pruned = await gates.prune({ keep: 0.75 });
    const detach = await pruned.attach();
    for (const text of texts) {
      const [found] = (await gates.pipeline(text, { max_new_tokens: 24, do_sample: false })) as {
        generated_text: string;
      }[];
      expected.push(found!.generated_text);
    }
    await detach();
  });

  afterAll(async () => {
    await rm(parent, { recursive: true, force: true });
  });

  test("one folder generates the same text in versions 2, 3 and 4", async () => {
    const folder = join(parent, "stories-small");
    const report = await pruned.save(folder);
    expect(report.versions).toEqual([2, 3, 4]);
    // An empty and a filled cache.
    expect(report.checks[0]!.runs).toBeGreaterThan(1);
    const written: Record<string, readonly string[]> = {};
    for (const module of libraries) {
      written[module] = (await runIn(module, folder, { task, texts })).generated;
      await runIn(module, folder, { task, texts, dtype: "q8" });
    }
    expect(written).toEqual(Object.fromEntries(libraries.map((module) => [module, expected])));
    const [first, second] = await Promise.all(
      ["model", "decoder_model_merged"].map((name) => stat(join(folder, `onnx/${name}.onnx`))),
    );
    expect(second!.ino).toBe(first!.ino);
    expect(JSON.parse(await readFile(join(folder, "config.json"), "utf8"))).toMatchObject({
      num_key_value_heads: 3,
    });
  }, 120_000);

  test("a decoder whose layers keep different numbers of heads is for version 4 alone", async () => {
    const { gates } = pruned;
    const [first] = gates.heads.blocks;
    const uneven = await gates.prune({ kept: { [first!.name]: [0, 2] } });
    const report = await uneven.save(join(parent, "uneven"), { dtypes: ["fp32"] });
    expect(report.versions).toEqual([4]);
    // Version 2 alone asks for the other name.
    expect(report.files.map(({ path }) => path)).not.toContain("onnx/decoder_model_merged.onnx");
    await expect(uneven.save(join(parent, "never"), { versions: [3, 4] })).rejects.toMatchObject({
      code: "OPTION",
      message: expect.stringContaining("version 3") as string,
    });
  });

  test("the card of a model that was learned has its quality, unless other groups were removed", async () => {
    const { gates } = pruned;
    const stories = [
      "Once upon a time",
      "One day, a dog",
      "The sun was",
      "Lily and Tom",
      "She loved to",
      "Ben had a red car",
    ];
    const learned = await gates.learn([...stories, ...stories.map((text) => `${text} and`)], {
      target: { heads: 0.75 },
      steps: 4,
      batchSize: 4,
      latency: false,
    });
    const own = await cardOf(await gates.prune());
    expect(own).toContain("## Quality");
    expect(own).toContain("with attention heads removed for good by [D-Gate]");
    for (const [name, value] of Object.entries(learned.pruned.quality)) {
      expect(own).toContain(`| ${name} | ${learned.dense.quality[name]!.toFixed(4)} | ${value.toFixed(4)} |`);
    }
    const [first] = gates.heads.blocks;
    const other = [0, 1, 2, 3].find((head) => learned.kept.get(first!.name)!.includes(head))!;
    const kept = [0, 1, 2, 3].filter((head) => head !== other);
    expect(await cardOf(await gates.prune({ kept: { [first!.name]: kept } }))).not.toContain("## Quality");
  }, 120_000);
});

const cardOf = async (model: PrunedTransformer): Promise<string> =>
  new TextDecoder().decode((await model.modelFiles({ dtypes: ["fp32"], fuse: false })).get("README.md"));
