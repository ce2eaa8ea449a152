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
      const [found] = (await gates.pipeline(text, { max_new_tokens: 24, do_sample: false })) as { generated_text: string }[];
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
    for (const module of libraries) {
      const { generated } = await runIn(module, folder, { task, texts });
      expect(generated, module).toEqual(expected);
      await runIn(module, folder, { task, texts, dtype: "q8" });
    }
    const [first, second] = await Promise.all(["model", "decoder_model_merged"].map((name) => stat(join(folder, `onnx/${name}.onnx`))));
    expect(second!.ino).toBe(first!.ino);
    expect(JSON.parse(await readFile(join(folder, "config.json"), "utf8"))).toMatchObject({ num_key_value_heads: 3 });
  }, 120_000);

  test("a decoder whose layers keep different numbers of heads is for version 4 alone", async () => {
    const { gates } = pruned;
    const [first] = gates.heads.blocks;
    const uneven = await gates.prune({ kept: { [first!.name]: [0, 2] } });
    const report = await uneven.save(join(parent, "uneven"), { dtypes: ["fp32"] });
    expect(report.versions).toEqual([4]);
    await expect(uneven.save(join(parent, "never"), { versions: [3, 4] })).rejects.toMatchObject({
      code: "OPTION",
      message: expect.stringContaining("version 3") as string,
    });
  });
});
