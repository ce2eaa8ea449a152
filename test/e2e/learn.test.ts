import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeModel } from "@dgate/onnx";
import { dataFolder } from "@dgate/testing";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { bagOfWords } from "./bag-of-words.ts";
import { dgate } from "./dgate.ts";
import { uninstalled } from "./uninstalled.ts";

const data = dataFolder();
const bert = join(data ?? "", "models/bert-mini-sst2");

interface Learned {
  readonly before: { readonly parameters: number; readonly macs: number; readonly bytes: number };
  readonly after: Learned["before"];
  readonly removed: readonly { readonly site: string; readonly groups: number; readonly kept: number }[];
  readonly maxAbsDiff: number;
  readonly quality: Readonly<Record<"dense" | "gated" | "pruned", Readonly<Record<string, number>>>>;
  readonly blocks: readonly { readonly groups: number; readonly kept: readonly number[] }[];
  readonly data: Readonly<Record<string, number>>;
  readonly files: readonly string[];
}

let shared: string;
let folder: string;
/** Some labelled sentences. */
let sentences: string;

beforeAll(async () => {
  shared = await mkdtemp(join(tmpdir(), "dgate-learn-"));
  sentences = join(shared, "sentences.tsv");
  const all = data ? await readFile(join(data, "sst2/train.tsv"), "utf8") : "";
  await writeFile(sentences, `${all.split("\n").slice(0, 61).join("\n")}\n\n`);
});

afterAll(() => rm(shared, { recursive: true }));

beforeEach(async () => {
  folder = await mkdtemp(join(shared, "run-"));
});

afterEach(() => rm(folder, { recursive: true }));

/** The lines of stderr that tell a failure. */
const failures = (stderr: string): string[] =>
  stderr.split("\n").filter((line) => line.startsWith("dgate:") || /^\s+at /.test(line));

/** The line that a command fails with; it must have written nothing to stdout. */
async function failureOf(
  args: readonly string[],
): Promise<{ readonly line: string; readonly stderr: string }> {
  const { code, stdout, stderr } = await dgate(args);
  const lines = failures(stderr);
  expect({ code, stdout, lines: lines.length }).toEqual({ code: 2, stdout: "", lines: 1 });
  return { line: lines[0]!, stderr };
}

describe.skipIf(!data)("dgate learn", () => {
  const learn = ["learn", bert, "--steps", "6", "--batch", "4", "--no-latency", "--json"];

  test("learns, prunes, proves and writes a folder that inspect reads; stdout is one JSON document", async () => {
    const out = join(folder, "new/small");
    const { code, stdout, stderr } = await dgate([...learn, "--data", sentences, "-o", out]);
    expect(failures(stderr)).toEqual([]);
    expect(code).toBe(0);
    const document = JSON.parse(stdout) as Learned;
    const { before, after, removed, maxAbsDiff, quality, blocks, files } = document;
    expect(before).toMatchObject({ parameters: 11_056_386, bytes: 44_320_244 });
    expect(after.parameters).toBeLessThan(before.parameters);
    expect(after.macs).toBeLessThan(before.macs);
    expect(after.bytes).toBe((await stat(join(out, "onnx/model.onnx"))).size);
    // Half of 4 layers of 8 heads.
    expect(blocks.map(({ groups }) => groups)).toEqual([8, 8, 8, 8]);
    expect(blocks.reduce((sum, { kept }) => sum + kept.length, 0)).toBe(16);
    for (const { site, groups, kept } of removed) {
      expect({ site, groups }).toEqual({
        site: expect.stringMatching(/layer\.\d.*\.heads$/) as unknown,
        groups: 8,
      });
      expect(kept).toBeLessThan(8);
    }
    expect(maxAbsDiff).toBeLessThan(1e-4);
    expect(quality.dense["accuracy"]).toBeGreaterThan(0.7);
    expect(quality.pruned["agreement"]).toBeGreaterThan(0);
    expect(document.data).toMatchObject({ examples: 52, heldOut: 8, empty: 1 });
    expect(files).toContain(join(out, "onnx/model_quantized.onnx"));
    for (const file of files) expect((await stat(file)).isFile()).toBe(true);
    expect(await readdir(join(folder, "new"))).toEqual(["small"]);

    const inspected = await dgate(["inspect", out, "--json"]);
    expect(inspected.code).toBe(0);
    const { attention } = JSON.parse(inspected.stdout) as {
      readonly attention: readonly { readonly heads: number }[];
    };
    expect(attention.map(({ heads }) => heads)).toEqual(blocks.map(({ kept }) => kept.length));
  });

  test("neurons by a budget of multiply–adds, one element type, and tables without --json", async () => {
    const out = join(folder, "small");
    const args = ["learn", bert, "--data", sentences, "-o", out, "--steps", "4", "--batch", "4"];
    const { code, stdout } = await dgate([
      ...args,
      "--target",
      "macs=0.5",
      "--dtypes",
      "q8",
      "--objective",
      "labels",
    ]);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^before\s+11,056,386 /m);
    expect(stdout).toMatch(/^pruned .* %\s/m);
    expect(stdout).toMatch(/^ffn 0\s+1024/m);
    const left = Number(/^left .*?% +([\d.]+) %/m.exec(stdout)?.[1]);
    expect(left).toBeGreaterThan(40);
    expect(left).toBeLessThanOrEqual(50);
    expect(await readdir(join(out, "onnx"))).toEqual(["model_quantized.onnx"]);
  });

  describe("bad input: exit code 2, one line, nothing written", () => {
    test("a folder that is there, before anything is read", async () => {
      expect((await failureOf([...learn, "--data", sentences, "-o", folder])).line).toMatch(
        /exists already; give --force/,
      );
    });

    test("an unknown id without network names the places that were tried", async () => {
      const cache = join(folder, "cache");
      const args = ["learn", "org/nowhere", "--local", "--cache-dir", cache, "--data", sentences];
      expect((await failureOf([...args, "-o", join(folder, "out")])).line).toMatch(
        /"org\/nowhere" has no config\.json; tried .*cache\/org\/nowhere\/config\.json/,
      );
      expect(await readdir(folder)).toEqual([]);
    });

    test("a target that cannot be reached says the closest, before the first step", async () => {
      const args = [
        ...learn,
        "--data",
        sentences,
        "-o",
        join(folder, "deep/out"),
        "--target",
        "macs=0.3",
        "--sites",
        "heads",
      ];
      const { line, stderr } = await failureOf(args);
      expect(line).toMatch(
        /30\.0 % of the multiply–adds cannot be reached: .* [\d.]+ % are left.*--sites heads,ffn/,
      );
      expect(stderr).not.toContain("learning gates");
      expect(await readdir(folder)).toEqual([]);
    });

    test("a label that the model does not have names the line", async () => {
      const bad = join(folder, "bad.jsonl");
      await writeFile(bad, '{"text":"good","label":"POSITIVE"}\n\n{"text":"bad","label":2}\n');
      const args = [...learn, "--data", bad, "-o", join(folder, "out")];
      expect((await failureOf(args)).line).toMatch(
        /bad\.jsonl: line 3 has the label 2, but the model has 2 classes: NEGATIVE \(0\), POSITIVE \(1\)/,
      );
      await writeFile(bad, '"good"\n{"text": 1\n');
      expect((await failureOf(args)).line).toMatch(/bad\.jsonl: line 2 is no JSON/);
      await writeFile(bad, "\n");
      expect((await failureOf(args)).line).toMatch(/bad\.jsonl: all its 1 lines are empty/);
      await writeFile(bad, '"good"\n"bad"\n"so so"\n');
      expect((await failureOf([...args, "--objective", "labels"])).line).toMatch(
        /bad\.jsonl: line 1 has no label/,
      );
      expect(await readdir(folder)).toEqual(["bad.jsonl"]);
    });

    test("a model without attention", async () => {
      const model = join(folder, "plain");
      await cp(bert, model, { recursive: true, filter: (path) => !path.endsWith(".onnx") });
      await mkdir(join(model, "onnx"), { recursive: true });
      await writeFile(join(model, "onnx/model.onnx"), writeModel(bagOfWords()));
      expect(
        (await failureOf(["learn", model, "--data", sentences, "-o", join(folder, "out")])).line,
      ).toMatch(/has no heads to gate: it has no attention/);
      expect(await readdir(folder)).toEqual(["plain"]);
    });

    test("without transformers.js the install line", async () => {
      const outcome = await dgate([...learn, "--data", sentences, "-o", join(folder, "out")], {
        env: uninstalled,
      });
      expect(outcome).toMatchObject({ code: 2, stdout: "" });
      expect(failures(outcome.stderr)).toEqual([
        expect.stringMatching(
          /no transformers\.js is installed; run npm install @huggingface\/transformers \(or.*\)\.$/,
        ),
      ]);
      const inspected = await dgate(["inspect", bert, "--json"], { env: uninstalled });
      expect(inspected.code).toBe(0);
      expect(JSON.parse(inspected.stdout)).toMatchObject({ parameters: 11_056_386 });
    });
  });

  test.each([
    ["while learning", /learning gates/],
    ["while writing", /fusing onnx/],
  ])("Ctrl-C %s leaves nothing and exits with 130", async (_, when) => {
    const steps = String(when).includes("learning") ? "100000" : "2";
    const args = [
      "learn",
      bert,
      "--data",
      sentences,
      "-o",
      join(folder, "deep/out"),
      "--steps",
      steps,
      "--batch",
      "4",
    ];
    const { code, stdout, stderr } = await dgate([...args, "--no-latency", "--json"], {
      kill: { when, signal: "SIGINT" },
    });
    expect(failures(stderr)).toEqual([expect.stringMatching(/^dgate: stopped/)]);
    expect({ code, stdout }).toEqual({ code: 130, stdout: "" });
    expect(await readdir(folder)).toEqual([]);
  });
});
