import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import { env } from "@huggingface/transformers";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

const data = dataFolder();
const example = readFileSync(join(import.meta.dirname, "readme-example.ts"), "utf8");
const { allowRemoteModels, localModelPath } = env;
const working = process.cwd();
let folder = "";

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "dgate-readme-"));
});

afterEach(() => {
  Object.assign(env, { allowRemoteModels, localModelPath });
  process.chdir(working);
  rmSync(folder, { recursive: true, force: true });
});

test("the example of the README is the file that runs here", () => {
  const readme = readFileSync(join(import.meta.dirname, "../README.md"), "utf8");
  expect(readme.split("```ts\n")[1]!.split("```")[0]!).toBe(example);
});

/** A classifier of the data folder takes the place of the hub's. */
function serveModel(): void {
  const id = /openHeadGates\("(.+?)"/.exec(example)![1]!;
  mkdirSync(join(folder, "hub", id, ".."), { recursive: true });
  symlinkSync(join(data!, "models/bert-mini-sst2"), join(folder, "hub", id));
  Object.assign(env, { allowRemoteModels: false, localModelPath: join(folder, "hub") });
}

test.skipIf(!data)(
  "a model id and a file of texts become a smaller folder that the pipeline loads",
  async () => {
    serveModel();
    const rows = readFileSync(join(data!, "sst2/glue-dev.tsv"), "utf8").split("\n").slice(1, 81);
    const texts = rows.map((row) => row.split("\t")[0]!.split(" ").slice(0, 8).join(" "));
    writeFileSync(join(folder, "reviews.txt"), texts.join("\n"));
    process.chdir(folder);
    const printed: unknown[][] = [];
    const log = vi
      .spyOn(console, "log")
      .mockImplementation((...values: unknown[]) => void printed.push(values));
    try {
      await import("./readme-example.ts");
    } finally {
      log.mockRestore();
    }
    const [[table], [dense, pruned, left], [files], [labels]] = printed as [
      [string],
      [Record<string, number>, Record<string, number>, number],
      [string],
      [unknown],
    ];
    expect(table.match(/·/g)).toHaveLength(16);
    expect(dense).toMatchObject({ agreement: 1 });
    expect(pruned["agreement"]).toBeGreaterThan(0.5);
    expect(left).toBeLessThan(1);
    expect(files).toContain("onnx/model_quantized.onnx");
    expect(labels).toEqual([{ label: expect.any(String), score: expect.any(Number) }]);
  },
  300_000,
);
