import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { float, Graph, tensorOf, writeModel } from "@dgate/onnx";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { dgate } from "./dgate.ts";

let folder: string;
let model: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-e2e-"));
  model = join(folder, "mlp.onnx");
  await writeFile(model, writeModel(perceptron(1)));
});

afterAll(() => rm(folder, { recursive: true }));

/** Gemm 6 → 8, Relu, Gemm 8 → 3 with fixed weights. */
function perceptron(scale: number): Graph {
  const graph = new Graph("mlp");
  const wave = (count: number) =>
    Float32Array.from({ length: count }, (_, i) => scale * Math.sin(1.7 * i + 1));
  const constant = (name: string, shape: number[]) =>
    graph.addInitializer(name, tensorOf("float32", shape, wave(shape.reduce((a, b) => a * b, 1))));
  const x = graph.addInput("x", { dtype: "float32", shape: ["batch", 6] });
  const hidden = graph.addNode({
    op: "Gemm",
    name: "hidden",
    inputs: [x, constant("w1", [6, 8]), constant("b1", [8])],
    attributes: { alpha: float(1) },
  });
  const relu = graph.addNode({ op: "Relu", name: "relu", inputs: [hidden.outputs[0]!] });
  const y = graph.addValue("y", { dtype: "float32", shape: ["batch", 3] });
  graph.addNode({
    op: "Gemm",
    name: "out",
    inputs: [relu.outputs[0]!, constant("w2", [8, 3]), constant("b2", [3])],
    outputs: [y],
  });
  graph.addOutput(y);
  return graph;
}

const json = (text: string): Record<string, unknown> => JSON.parse(text) as Record<string, unknown>;

describe("help and usage", () => {
  test("every command of the design is in --help, on stdout", async () => {
    const { code, stdout } = await dgate(["--help"]);
    expect(code).toBe(0);
    for (const name of ["inspect", "train", "prune", "learn", "verify", "bench"]) {
      expect(stdout).toMatch(new RegExp(`^  ${name} `, "m"));
    }
    expect((await dgate(["train", "--help"])).stdout).toContain("--lambda");
  });

  test("no command, an unknown command and learn exit with 2 and an empty stdout", async () => {
    expect(await dgate([])).toMatchObject({ code: 2, stdout: "" });
    const unknown = await dgate(["squeeze"]);
    expect(unknown).toMatchObject({ code: 2, stdout: "" });
    expect(unknown.stderr).toMatch(/^dgate: unknown command 'squeeze'.*\n$/);
    const learn = await dgate(["learn", "some/model", "--data", "x.tsv"]);
    expect(learn).toMatchObject({ code: 2, stdout: "" });
    expect(learn.stderr).toMatch(/^dgate: learn some\/model: this version has no @dgate\/transformers.*\n$/);
  });
});

test("inspect counts by hand", async () => {
  const { code, stdout } = await dgate(["inspect", model, "--json"]);
  expect(code).toBe(0);
  const { size } = await readFile(model).then(({ length }) => ({ size: length }));
  expect(json(stdout)).toMatchObject({
    parameters: 6 * 8 + 8 + 8 * 3 + 3,
    macs: 6 * 8 + 8 * 3,
    bytes: size,
    operators: { Gemm: 2, Relu: 1 },
  });
  expect(json(stdout)["sites"]).toContainEqual(
    expect.objectContaining({ kind: "neurons", groups: 8, prunable: true }),
  );
});

describe("prune", () => {
  test("removes half of the neurons, writes the plan, and carries it out again", async () => {
    const [out, plan, again] = ["half.onnx", "plan.json", "again.onnx"].map((name) => join(folder, name)) as [
      string,
      string,
      string,
    ];
    const first = await dgate([
      "prune",
      model,
      "-o",
      out,
      "--sparsity",
      "0.5",
      "--write-plan",
      plan,
      "--json",
    ]);
    expect(first.code).toBe(0);
    expect(json(first.stdout)).toMatchObject({ before: { parameters: 83 }, after: { parameters: 43 } });
    expect(json(first.stdout)["maxAbsDiff"]).toBeLessThan(1e-5);
    expect((await dgate(["prune", model, "-o", again, "--plan", plan])).code).toBe(0);
    expect((await readFile(again)).equals(await readFile(out))).toBe(true);
    const refused = await dgate(["prune", model, "-o", out, "--keep", "0.5"]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toMatch(/half\.onnx: exists already; give --force/);
  });

  test.each([
    [["--sparsity", "0.5", "--keep", "0.5"], /one of --sparsity, --keep and --plan/],
    [["--sparsity", "1"], /--sparsity.*below 1/],
    [["--keep", "0.5", "--sites", "heads"], /mlp\.onnx: --sites heads: no site is called "heads"/],
    [["--plan", "nowhere.json"], /nowhere\.json: cannot be read/],
    [["--plan", "package.json"], /package\.json: not a plan: .*; make one with dgate prune --write-plan/],
  ])("%j: exit code 2 and nothing written", async (args, message) => {
    const out = join(folder, "none.onnx");
    const { code, stderr } = await dgate(["prune", model, "-o", out, ...args]);
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    await expect(readFile(out)).rejects.toThrow("ENOENT");
  });
});

describe("verify", () => {
  test("a model equals itself; another one gives exit code 1 and still one JSON document", async () => {
    const same = await dgate(["verify", model, model, "--json"]);
    expect(same.code).toBe(0);
    expect(json(same.stdout)).toMatchObject({ maxAbsDiff: 0, equal: true });
    const other = join(folder, "other.onnx");
    await writeFile(other, writeModel(perceptron(1.1)));
    const different = await dgate(["verify", model, other, "--json"]);
    expect(different.code).toBe(1);
    expect(json(different.stdout)).toMatchObject({ equal: false });
    expect(different.stderr).toMatch(/^dgate: verify .*output "y" differs by .* more than 0\.0001\.\n$/);
  });

  test("a truncated model names file and place", async () => {
    const cut = join(folder, "cut.onnx");
    await writeFile(cut, (await readFile(model)).subarray(0, 200));
    const { code, stdout, stderr } = await dgate(["verify", model, cut]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(/^dgate: .*cut\.onnx: .*\n$/);
  });
});

test.each(["verify", "bench"])(
  "%s of models with other inputs names both and exits with 2",
  async (command) => {
    const wide = new Graph("wide");
    const x = wide.addInput("x", { dtype: "float32", shape: ["batch", 7] });
    wide.addOutput(wide.addNode({ op: "Relu", name: "y", inputs: [x] }).outputs[0]!);
    const other = join(folder, "wide.onnx");
    await writeFile(other, writeModel(wide));
    const { code, stdout, stderr } = await dgate([command, model, other]);
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toMatch(
      /^dgate: .*mlp\.onnx takes "x" float32 \[batch, 6\], but .*wide\.onnx takes "x" float32 \[batch, 7\].*\n$/,
    );
  },
);

test("bench times models on the same inputs", async () => {
  const { code, stdout } = await dgate(["bench", model, model, "--rounds", "20", "--json"]);
  expect(code).toBe(0);
  const { models, speedup } = json(stdout) as {
    models: { medianMs: number; p95Ms: number }[];
    speedup: number;
  };
  expect(models).toHaveLength(2);
  for (const { medianMs, p95Ms } of models) expect(p95Ms).toBeGreaterThanOrEqual(medianMs);
  expect(speedup).toBeGreaterThan(0.2);
});
