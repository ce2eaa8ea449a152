import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { experimentsProgram } from "../src/program.ts";
import { experiments } from "../src/registry.ts";

let folder = "";
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-program-"));
});
afterAll(async () => rm(folder, { recursive: true, force: true }));

async function call(...argv: string[]) {
  let printed = "";
  const logged: string[] = [];
  const code = await experimentsProgram(argv, {
    signal: new AbortController().signal,
    print: (text) => {
      printed += text;
    },
    log: (line) => logged.push(line),
  });
  return { code, printed, logged };
}

test("list names every experiment", async () => {
  const { code, printed } = await call("list");
  expect(code).toBe(0);
  for (const { name } of experiments) expect(printed).toContain(name);
});

test("run says what held, and report writes page, Markdown and plots of it", async () => {
  const results = join(folder, "results");
  const run = await call("run", "imbalance-decay", "--quick", "--seeds", "1", "--results", results);
  expect(run.code).toBe(0);
  expect(run.printed).toContain("holds: the measured exponent is 4λ/D");
  expect(run.logged).toHaveLength(3);
  const out = join(folder, "report");
  // Runs that lie where plots are written stay.
  await mkdir(join(out, "results"), { recursive: true });
  await writeFile(join(out, "results/runs.jsonl"), "{}");
  await writeFile(join(out, "results/imbalance-decay-9.svg"), "a plot of before");
  const report = await call("report", "--quick", "--results", results, "--out", out);
  const [page, markdown] = [join(out, "index.html"), join(out, "results.md")] as const;
  expect(report).toMatchObject({ code: 0, printed: `${page}\n${markdown}\n` });
  const html = await readFile(page, "utf8");
  expect(html).toContain('<section id="imbalance-decay">');
  expect(html).toContain("<svg");
  expect(html).not.toMatch(/<script|https?:\/\/(?!www\.w3\.org)/);
  expect(await readdir(join(out, "results"))).toEqual(["imbalance-decay-1.svg", "runs.jsonl"]);
  expect(await readFile(join(out, "results/imbalance-decay-1.svg"), "utf8")).toMatch(/^<svg(?!.*var\()/s);
  expect(await readFile(markdown, "utf8")).toContain(
    "![Imbalance of one group](results/imbalance-decay-1.svg)",
  );
});

test("what is not there is said with what is", async () => {
  expect(await call("run", "imagenet")).toMatchObject({
    code: 2,
    logged: [expect.stringContaining("families are theory")],
  });
  expect(await call("run", "theory", "--seeds", "0")).toMatchObject({ code: 2 });
  expect(await call("run", "theory", "--backend", "abacus")).toMatchObject({
    code: 2,
    logged: [expect.stringContaining("Allowed choices are cpu, wasm")],
  });
  // Quick runs are no whole sweep.
  expect(await call("report", "--results", join(folder, "results"))).toMatchObject({ code: 1 });
  expect(await call("report", "--results", join(folder, "none"))).toMatchObject({
    code: 1,
    logged: [expect.stringContaining("npm run experiments -- run NAME")],
  });
});
