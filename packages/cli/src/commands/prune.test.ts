import { existsSync } from "node:fs";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { Graph, tensorOf, writeModel } from "@dgate/onnx";
import { afterEach, beforeEach, expect, test } from "vitest";
import { run } from "../run.ts";

let folder: string;
let model: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-prune-"));
  model = join(folder, "mlp.onnx");
  const graph = new Graph("mlp");
  const constant = (name: string, shape: readonly number[]) => {
    const length = shape.reduce((a, b) => a * b, 1);
    const wave = Float32Array.from({ length }, (_, i) => Math.sin(1.7 * i + 1));
    return graph.addInitializer(name, tensorOf("float32", shape, wave));
  };
  const x = graph.addInput("x", { dtype: "float32", shape: ["batch", 3] });
  const { outputs } = graph.addNode({ op: "MatMul", name: "hidden", inputs: [x, constant("w1", [3, 8])] });
  graph.addOutput(
    graph.addNode({ op: "MatMul", name: "out", inputs: [outputs[0], constant("w2", [8, 2])] }).outputs[0]!,
  );
  await writeFile(model, writeModel(graph));
});

afterEach(() => rm(folder, { recursive: true }));

async function prune(...options: readonly string[]) {
  const lines: string[] = [];
  const progress = { line: (text: string) => lines.push(text), bar: () => undefined };
  const code = await run(["prune", model, ...options], { stdout: new PassThrough(), progress });
  return { code, lines };
}

test.each(["small.onnx", "small.onnx_data"])(
  "a plan is not written over the pruned model (%s)",
  async (name) => {
    const out = join(folder, "small.onnx");
    const { code, lines } = await prune(
      "-o",
      out,
      "--keep",
      "0.5",
      "--force",
      "--write-plan",
      join(folder, name),
    );
    expect(code).toBe(2);
    expect(lines).toEqual([expect.stringMatching(/--write-plan .* is a file of the pruned model/)]);
    expect(await readdir(folder)).toEqual(["mlp.onnx"]);
  },
);

test("the model itself is not overwritten, even with --force", async () => {
  const before = await readFile(model);
  const { code, lines } = await prune("-o", model, "--keep", "0.5", "--force");
  expect(code).toBe(2);
  expect(lines).toEqual([expect.stringMatching(/--out .* is the model itself/)]);
  expect(await readFile(model)).toEqual(before);
});

test("a plan file takes no options that would have shaped it", async () => {
  const plan = join(folder, "plan.json");
  expect((await prune("-o", join(folder, "a.onnx"), "--keep", "0.5", "--write-plan", plan)).code).toBe(0);
  for (const option of [["--sites", "neurons"], ["--align", "4"], ["--no-global"]]) {
    const { code, lines } = await prune("-o", join(folder, "b.onnx"), "--plan", plan, ...option);
    expect(code).toBe(2);
    expect(lines).toEqual([expect.stringMatching(/--plan .*plan\.json says what stays; leave out --/)]);
  }
  expect((await prune("-o", join(folder, "b.onnx"), "--plan", plan)).code).toBe(0);
});

test("a failed run leaves no folder behind", async () => {
  const { code } = await prune(
    "-o",
    join(folder, "new", "deep", "a.onnx"),
    "--keep",
    "0.5",
    "--sites",
    "heads",
  );
  expect(code).toBe(2);
  expect(existsSync(join(folder, "new"))).toBe(false);
});
