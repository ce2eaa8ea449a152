import { readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DgateError } from "@dgate/core";
import { numbersOf, openRunner, readModel, writeModel } from "@dgate/onnx";
import { dataFolder } from "@dgate/testing";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openHeadGates } from "../../src/index.ts";
import { encodeExamples } from "../../src/data/encode.ts";
import { feedsFor } from "../../src/data/feeds.ts";
import type { PrunedTransformer } from "../../src/prune/pruned-transformer.ts";
import type { SaveReport } from "../../src/save/save-options.ts";
import { pruneBert, sentences } from "./prune-bert.ts";
import { libraries, runIn } from "./run-in.ts";

const data = dataFolder();

const largest = (a: readonly number[], b: readonly number[]): number => {
  expect(a).toHaveLength(b.length);
  return Math.max(...a.map((value, i) => Math.abs(value - b[i]!)));
};

describe.skipIf(!data)("saving a pruned BERT", () => {
  let parent = "";
  let folder = "";
  let pruned: PrunedTransformer;
  let report: SaveReport;
  /** Logits of the model with the same groups zeroed. */
  let masked: number[] = [];

  beforeAll(async () => {
    parent = await mkdtemp(join(tmpdir(), "dgate-save-"));
    folder = join(parent, "deep/er/bert-small");
    pruned = await pruneBert(data!);
    report = await pruned.save(folder, { dtypes: ["fp32", "q8", "int8", "uint8", "q4"] });
    const { model, runtime } = pruned.gates.internals;
    const graph = pruned.files[0]!.pruned!.masked;
    const { examples } = await encodeExamples(model, sentences);
    const runner = await openRunner(graph, runtime.engine);
    masked = [...numbersOf((await runner.run(feedsFor(graph, examples).feeds))["logits"]!)];
    await runner.dispose();
  }, 300_000);

  afterAll(async () => {
    await pruned?.gates.dispose();
    await rm(parent, { recursive: true, force: true });
  });

  test.each(libraries)(
    "%s opens the folder and gives the masked model's logits",
    async (module) => {
      const found = await runIn(module, folder, { texts: sentences });
      expect(largest(found.logits, masked)).toBeLessThan(1e-4);
      expect(found.labels).toEqual(
        sentences.map((_, i) => (masked[2 * i]! > masked[2 * i + 1]! ? "NEGATIVE" : "POSITIVE")),
      );
    },
    120_000,
  );

  test.each([
    ["@huggingface/transformers", "q8"],
    ["transformers-v3", "q4"],
    ["@xenova/transformers", "q8"],
  ])(
    "%s opens the %s files, which stay close to it",
    async (module, dtype) => {
      const found = await runIn(module, folder, { dtype, texts: sentences });
      expect(largest(found.logits, masked)).toBeLessThan(0.15);
    },
    120_000,
  );

  test("the report has every file with its size, and a check of every element type", async () => {
    expect(report.folder).toBe(folder);
    for (const { path, sizeBytes } of report.files)
      expect((await stat(join(folder, path))).size).toBe(sizeBytes);
    expect(report.files.map(({ path }) => path).toSorted()).toEqual(await filesIn(folder));
    expect(report.versions).toEqual([2, 3, 4]);
    expect(report.checks.map(({ dtype, opened, runs }) => [dtype, opened, runs])).toEqual(
      ["fp32", "q8", "int8", "uint8", "q4"].map((dtype) => [dtype, true, 1]),
    );
    expect(report.checks[0]).toMatchObject({ limit: 1e-4 });
    expect(report.after.macs).toBeLessThan(report.before.macs / 2);
  });

  test("what the hub's loaders read is copied byte for byte", async () => {
    for (const name of [
      "config.json",
      "tokenizer.json",
      "tokenizer_config.json",
      "special_tokens_map.json",
    ]) {
      const [copy, original] = await Promise.all(
        [folder, join(data!, "models/bert-mini-sst2")].map((from) => readFile(join(from, name))),
      );
      expect(copy!.equals(original!)).toBe(true);
    }
  });

  test("both names of symmetric int8 are one file on disk", async () => {
    const [q8, int8] = await Promise.all(
      ["_quantized", "_int8"].map((suffix) => stat(join(folder, `onnx/model${suffix}.onnx`))),
    );
    expect(int8!.ino).toBe(q8!.ino);
  });

  test("every ONNX file says what was removed from it", async () => {
    for (const suffix of ["", "_quantized", "_uint8", "_q4"]) {
      const graph = readModel(await readFile(join(folder, `onnx/model${suffix}.onnx`)));
      const note = JSON.parse(graph.info.metadata.get("dgate")!) as { removed: object[] };
      expect(note.removed).toHaveLength(7);
      expect(note.removed[0]).toMatchObject({ kind: "heads", groups: 8, kept: 2, heads: [1, 3] });
    }
  });

  test("files are fused with what each version's runtime has", () => {
    const operators = Object.fromEntries(report.fused.map((each) => [each.path, each.operators]));
    expect(operators["onnx/model.onnx"]).toMatchObject({
      "com.microsoft.Attention": 4,
      "com.microsoft.BiasGelu": 4,
    });
    // Projections that become codes stay MatMul nodes, and version 2 does not load this one.
    expect(operators["onnx/model_q4.onnx"]).toMatchObject({ "com.microsoft.MultiHeadAttention": 4 });
    expect(operators["onnx/model_quantized.onnx"]).not.toHaveProperty("com.microsoft.MultiHeadAttention");
  });

  test("the model card tells what was removed and how to open it", async () => {
    const card = await readFile(join(folder, "README.md"), "utf8");
    expect(card).toContain("| 1 | 2 of 8 | ·●·●···· |");
    expect(card).toContain("14 of 32 attention heads stay.");
    expect(card).toContain("with attention heads and neurons removed for good by [D-Gate]");
    expect(card).toContain("pipeline_tag: text-classification");
    expect(card).toContain('await pipeline("text-classification", "/path/to/bert-small"');
    expect(card).toContain("@xenova/transformers");
    expect(card).toContain(
      `| \`onnx/model_quantized.onnx\` | ${report.files.find(({ path }) => path.endsWith("_quantized.onnx"))!.sizeBytes.toLocaleString("en-US")} |`,
    );
  });

  test("modelFiles gives the same files in memory, but for the checks on the card", async () => {
    const files = await pruned.modelFiles({ dtypes: ["fp32", "q8"] });
    expect([...files.keys()].toSorted()).toEqual(
      (await filesIn(folder)).filter((path) => !/_(int8|uint8|q4)\./.test(path)),
    );
    // The card has no checks here, the config of the folder is for all its types.
    const same = [...files].filter(([path]) => path !== "README.md" && path !== "config.json");
    for (const [path, bytes] of same) expect((await readFile(join(folder, path))).equals(bytes)).toBe(true);
  });

  test("an existing folder is refused unless force is given, and then replaced", async () => {
    const small = { dtypes: ["q8"], check: false, fuse: false } as const;
    await expect(pruned.save(folder, small)).rejects.toMatchObject({
      code: "IO",
      message: expect.stringContaining("force") as string,
    });
    const copy = join(parent, "again");
    await pruned.save(copy, small);
    await writeFile(join(copy, "stale.txt"), "");
    const again = await pruned.save(copy, { ...small, force: true });
    expect(await filesIn(copy)).toEqual(again.files.map(({ path }) => path).toSorted());
    // A page and Node take other types when none is named: the config names the one that is there.
    expect(JSON.parse(await readFile(join(copy, "config.json"), "utf8"))).toMatchObject({
      "transformers.js_config": { dtype: "q8" },
    });
  });

  test("a folder that was saved, fused, is pruned on", async () => {
    const half = join(parent, "half");
    const first = await openHeadGates(join(data!, "models/bert-mini-sst2"), { sites: ["heads"] });
    const small = await first.prune({ keep: 0.5, even: true, scores: await first.importance("l2") });
    const { fused } = await small.save(half, { dtypes: ["fp32"], check: false });
    await first.dispose();
    expect(fused[0]!.operators).toMatchObject({ "com.microsoft.Attention": 4 });
    const second = await openHeadGates(half, { sites: ["heads"] });
    expect(second.heads.blocks.map(({ groups }) => groups)).toEqual([4, 4, 4, 4]);
    const kept = Object.fromEntries(second.heads.blocks.map(({ name }, layer) => [name, [layer]]));
    const { files } = await second.prune({ kept });
    await second.dispose();
    expect(files[0]!.pruned!.verification.equal).toBe(true);
  }, 120_000);

  test("force replaces no folder that is none of a model, and never the model's own", async () => {
    const other = await mkdtemp(join(parent, "other-"));
    await writeFile(join(other, "letters.txt"), "");
    await expect(pruned.save(other, { force: true })).rejects.toMatchObject({
      code: "IO",
      message: expect.stringContaining("config.json") as string,
    });
    await expect(pruned.save(join(data!, "models/bert-mini-sst2"), { force: true })).rejects.toMatchObject({
      code: "IO",
    });
    expect(await readdir(other)).toEqual(["letters.txt"]);
  });

  test("a folder that cannot be written is a typed error", async () => {
    const file = join(parent, "file");
    await writeFile(file, "");
    await expect(pruned.save(join(file, "in/it"))).rejects.toMatchObject({ code: "IO" });
    await expect(pruned.save("/proc/dgate/model")).rejects.toMatchObject({ code: "IO" });
  });

  test.each(["fuse", "write", "check"] as const)(
    "a save that is aborted at %s leaves nothing behind",
    async (phase) => {
      const before = await readdir(parent);
      const controller = new AbortController();
      const saving = pruned.save(join(parent, "new/aborted"), {
        dtypes: ["fp32"],
        signal: controller.signal,
        onProgress: (progress) => {
          if (progress.phase === phase) controller.abort();
        },
      });
      const error = await saving.then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(DgateError);
      expect(error).toMatchObject({ code: "ABORTED" });
      expect(await readdir(parent)).toEqual(before);
    },
  );

  test.each([
    ["open", (file: string) => truncateSync(file, 1000)],
    [
      "give what the pruned model does",
      (file: string) =>
        writeFileSync(
          file,
          writeModel(
            readModel(new Uint8Array(readFileSync(join(data!, "models/bert-mini-sst2/onnx/model.onnx")))),
          ),
        ),
    ],
  ])("files that do not %s are not left behind, and the error says so", async (_, spoil) => {
    const before = await readdir(parent);
    const saving = pruned.save(join(parent, "broken"), {
      dtypes: ["fp32"],
      fuse: false,
      onProgress: ({ phase }) => {
        const temporary = readdirSync(parent).find((name) => name.startsWith(".broken"));
        if (phase === "check") spoil(join(parent, temporary!, "onnx/model.onnx"));
      },
    });
    await expect(saving).rejects.toMatchObject({
      code: "CHECK",
      message: expect.stringMatching(
        /do not open in transformers\.js 4|differ from the pruned model/,
      ) as string,
    });
    expect(await readdir(parent)).toEqual(before);
  });

  test("a folder with quantized files only is pruned again and written as it was", async () => {
    const from = join(parent, "q8-only");
    await pruned.save(from, { dtypes: ["q8"], check: false });
    const gates = await openHeadGates(from, { sites: ["heads"] });
    // The layer that has one head left has none to choose from.
    expect(gates.heads.blocks.map(({ groups }) => groups)).toEqual([8, 2, 3]);
    const again = await gates.prune({ kept: { [gates.heads.blocks[0]!.name]: [1, 2, 6] } });
    const saved = await again.save(join(parent, "q8-again"));
    expect(saved.dtypes).toEqual(["q8"]);
    expect(saved.checks).toMatchObject([{ dtype: "q8", opened: true, limit: 0.05 }]);
    expect(saved.after.parameters).toBeLessThan(saved.before.parameters);
    await expect(again.save(join(parent, "never"), { dtypes: ["fp32"] })).rejects.toMatchObject({
      code: "OPTION",
    });
    await gates.dispose();
  }, 120_000);

  test("options that cannot be met are typed errors", async () => {
    const to = join(parent, "never");
    await expect(pruned.save(to, { dtypes: ["q5" as "q4"] })).rejects.toMatchObject({ code: "OPTION" });
    await expect(pruned.save(to, { dtypes: ["bnb4"] })).rejects.toMatchObject({ code: "OPTION" });
    await expect(pruned.save(to, { dtypes: [] })).rejects.toMatchObject({ code: "OPTION" });
    await expect(pruned.save(to, { versions: [5 as 4] })).rejects.toMatchObject({ code: "OPTION" });
    await expect(pruned.save(to, { versions: [2, 4], externalData: true })).rejects.toMatchObject({
      code: "OPTION",
    });
  });

  test("weights beside the model open in versions 3 and 4 without options", async () => {
    const to = join(parent, "external");
    const external = await pruned.save(to, { dtypes: ["fp32"], fuse: false, externalData: true });
    expect(external.versions).toEqual([3, 4]);
    expect(external.files.map(({ path }) => path)).toContain("onnx/model.onnx_data");
    for (const module of ["@huggingface/transformers", "transformers-v3"]) {
      const { logits } = await runIn(module, to, { texts: sentences });
      expect(largest(logits, masked)).toBeLessThan(1e-4);
    }
  }, 120_000);
});

/** Paths of all files in a folder, sorted. */
async function filesIn(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .toSorted();
}
