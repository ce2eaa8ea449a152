import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { Graph, tensorOf } from "@dgate/onnx";
import { readModelFile, writeModelFile } from "@dgate/onnx/node";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "../run.ts";

let folder: string;
let model: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-external-"));
  model = join(folder, "large.onnx");
  await writeModelFile(model, perceptron(), { externalData: true });
});

afterEach(() => rm(folder, { recursive: true }));

/** 20 → 64 → 40; both weights take more than 1024 bytes, after half of the neurons are gone too. */
function perceptron(): Graph {
  const graph = new Graph("perceptron");
  const constant = (name: string, shape: number[]) => {
    const length = shape.reduce((a, b) => a * b, 1);
    const wave = Float32Array.from({ length }, (_, i) => Math.sin(1.7 * i + shape.length));
    return graph.addInitializer(name, tensorOf("float32", shape, wave));
  };
  const x = graph.addInput("x", { dtype: "float32", shape: ["batch", 20] });
  const hidden = [x, constant("w1", [20, 64]), constant("b1", [64])];
  const relu = graph.addNode({
    op: "Relu",
    inputs: graph.addNode({ op: "Gemm", name: "hidden", inputs: hidden }).outputs,
  });
  const y = graph.addValue("y", { dtype: "float32", shape: ["batch", 40] });
  graph.addNode({
    op: "Gemm",
    name: "out",
    inputs: [relu.outputs[0], constant("w2", [64, 40]), constant("b2", [40])],
    outputs: [y],
  });
  graph.addOutput(y);
  return graph;
}

async function dgate(argv: readonly string[], signal?: AbortSignal) {
  const stdout = new PassThrough({ encoding: "utf8" });
  const lines: string[] = [];
  const progress = { line: (text: string) => lines.push(text), bar: () => undefined };
  const code = await run(argv, { stdout, progress, ...(signal && { signal }) });
  const text = String(stdout.read() ?? "");
  return { code, lines, document: (text ? JSON.parse(text) : {}) as Record<string, unknown> };
}

const sizeOf = async (...paths: string[]): Promise<number> =>
  (await Promise.all(paths.map((path) => stat(path)))).reduce((sum, { size }) => sum + size, 0);

test("inspect, verify and bench read the weights beside the model and count their bytes", async () => {
  const { code, document } = await dgate(["inspect", model, "--json"]);
  expect(code).toBe(0);
  expect(document).toMatchObject({
    parameters: 20 * 64 + 64 + 64 * 40 + 40,
    bytes: await sizeOf(model, `${model}_data`),
  });
  const whole = join(folder, "whole.onnx");
  await writeModelFile(whole, perceptron());
  for (const runtime of ["web", "node"]) {
    const verified = await dgate(["verify", model, whole, "--runtime", runtime, "--json"]);
    expect(verified).toMatchObject({ code: 0, document: { maxAbsDiff: 0, equal: true, runtime } });
  }
  expect((await dgate(["bench", model, whole, "--rounds", "10", "--json"])).code).toBe(0);
});

test("prune keeps the form, replaces both files only with --force, and can put all in one file", async () => {
  const out = join(folder, "small.onnx");
  const args = ["prune", model, "-o", out, "--keep", "0.5", "--json"];
  const first = await dgate(args);
  expect(first).toMatchObject({ code: 0, document: { files: [out, `${out}_data`] } });
  expect(first.document).toMatchObject({
    before: { bytes: await sizeOf(model, `${model}_data`) },
    after: { bytes: await sizeOf(out, `${out}_data`) },
  });
  expect((await dgate(["verify", out, out, "--json"])).code).toBe(0);
  await rm(out);
  const refused = await dgate(args);
  expect(refused.code).toBe(2);
  expect(refused.lines[0]).toMatch(/small\.onnx_data: exists already; give --force/);
  expect((await dgate([...args, "--force"])).code).toBe(0);
  const one = join(folder, "one.onnx");
  const whole = await dgate([
    "prune",
    model,
    "-o",
    one,
    "--keep",
    "0.5",
    "--external-data",
    "never",
    "--json",
  ]);
  expect(whole).toMatchObject({ code: 0, document: { files: [one] } });
  expect(String(await readModelFile(one))).toBe(String(await readModelFile(out)));
});

test("weights that are not there, or end early, are named with the file and exit code 2", async () => {
  const data = await readFile(`${model}_data`);
  await writeFile(`${model}_data`, data.subarray(0, data.length - 1));
  const cut = await dgate(["inspect", model]);
  expect(cut).toMatchObject({ code: 2 });
  expect(cut.lines).toEqual([
    expect.stringMatching(
      /^dgate: .*large\.onnx: external data "large\.onnx_data": bytes .* it is cut off\.$/,
    ),
  ]);
  await rm(`${model}_data`);
  const missing = await dgate(["verify", model, model]);
  expect(missing).toMatchObject({ code: 2 });
  expect(missing.lines[0]).toMatch(/large\.onnx: external data "large\.onnx_data" cannot be read \(ENOENT/);
});

test("a prune that is stopped, at whatever point, leaves no file", async () => {
  const before = (await readdir(folder)).sort();
  const out = join(folder, "out.onnx");
  const codes: number[] = [];
  for (const ms of [0, 1, 5, 20, 60]) {
    const signal = ms === 0 ? AbortSignal.abort() : AbortSignal.timeout(ms);
    const { code } = await dgate(["prune", model, "-o", out, "--keep", "0.5", "--json"], signal);
    // Where it was faster than the signal both files are there.
    const written = code === 0 ? ["out.onnx", "out.onnx_data"] : [];
    expect((await readdir(folder)).sort()).toEqual([...before, ...written].sort());
    for (const name of written) await rm(join(folder, name));
    codes.push(code);
  }
  expect(codes[0]).toBe(130);
  expect(codes.every((code) => code === 130 || code === 0)).toBe(true);
});
