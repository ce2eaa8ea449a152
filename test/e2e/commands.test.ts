import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { findSites, float, Graph, insertGates, tensorOf, type Value, writeModel } from "@dgate/onnx";
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

  test("no command, an unknown command and learn without -o exit with 2 and an empty stdout", async () => {
    expect(await dgate([])).toMatchObject({ code: 2, stdout: "" });
    const unknown = await dgate(["squeeze"]);
    expect(unknown).toMatchObject({ code: 2, stdout: "" });
    expect(unknown.stderr).toMatch(/^dgate: unknown command 'squeeze'.*\n$/);
    const learn = await dgate(["learn", "some/model", "--data", "x.tsv"]);
    expect(learn).toMatchObject({ code: 2, stdout: "" });
    expect(learn.stderr).toMatch(
      /^dgate: required option '-o, --out <dir>' not specified; see dgate learn .*\n$/,
    );
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
    [["--macs", "0.5", "--keep", "0.5"], /one of --sparsity, --keep and --plan, or a budget/],
    [[], /one of --sparsity, --keep and --plan, or a budget/],
    [["--macs", "0.01"], /mlp\.onnx: macs = 0\.01 cannot be reached: .* 0\.125 of the MACs stay/],
    [["--macs", "1.5"], /--macs.*above 0 and of at most 1/],
    [["--keep", "0.5", "--normalise", "max"], /normalise: "max" .* give scope: "global"/],
    [["--keep", "0.5", "--align", "head=4"], /align: "head" is no kind of site/],
    [["--keep", "0.5", "--align", "few"], /--align.*whole number/],
    [
      ["--macs", "0.5", "--dim", "sequence=4"],
      /--dim sequence=4: no input has a dimension "sequence"; the open ones are batch/,
    ],
    [["--macs", "0.5", "--dim", "batch"], /--dim.*as in batch=1/],
    [["--keep", "0.5", "--criterion", "gates"], /the model has no gates "hidden\.neurons\.gate\.1"/],
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

/** Two hidden layers of 12 and 20 neurons, the first of small weights. */
function twoLayers(): Graph {
  const graph = new Graph("deep");
  const constant = (name: string, shape: number[], scale: number) =>
    graph.addInitializer(
      name,
      tensorOf(
        "float32",
        shape,
        Float32Array.from(
          { length: shape.reduce((a, b) => a * b, 1) },
          (_, i) => scale * Math.sin(1.3 * i + 1),
        ),
      ),
    );
  const dense = (name: string, x: Value, [inputs, outputs]: [number, number], scale: number) =>
    graph.addNode({
      op: "Add",
      inputs: [
        graph.addNode({ op: "MatMul", name, inputs: [x, constant(`${name}.w`, [inputs, outputs], scale)] })
          .outputs[0]!,
        constant(`${name}.b`, [outputs], scale),
      ],
    }).outputs[0]!;
  const x = graph.addInput("x", { dtype: "float32", shape: ["batch", "tokens", 6] });
  const a = graph.addNode({ op: "Relu", inputs: [dense("a", x, [6, 12], 0.01)] }).outputs[0]!;
  const b = graph.addNode({ op: "Relu", inputs: [dense("b", a, [12, 20], 1)] }).outputs[0]!;
  graph.addOutput(dense("head", b, [20, 3], 1));
  return graph;
}

interface Pruned {
  readonly before: { readonly macs: number };
  readonly after: { readonly macs: number };
  readonly target: Readonly<Record<string, number>>;
  readonly reached: { readonly macs: number; readonly parameters: number; readonly bytes: number };
  readonly removed: readonly { readonly site: string; readonly kept: number }[];
  readonly maxAbsDiff: number;
}

const kept = ({ removed }: Pruned) => removed.map(({ site, kept: left }) => [site, left]);

describe("budgets", () => {
  test("a budget, an alignment and sizes are kept, and the document says what was asked and reached", async () => {
    const deep = join(folder, "deep.onnx");
    await writeFile(deep, writeModel(twoLayers()));
    const pruneTo = async (out: string, ...args: string[]): Promise<Pruned> => {
      const { code, stdout, stderr } = await dgate([
        "prune",
        deep,
        "-o",
        join(folder, out),
        ...args,
        "--json",
      ]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      return JSON.parse(stdout) as Pruned;
    };
    const half = await pruneTo("half-macs.onnx", "--macs", "0.5", "--dim", "batch=2", "--dim", "tokens=5");
    expect(half.before.macs).toBe(10 * (6 * 12 + 12 * 20 + 20 * 3));
    expect(half.target).toEqual({ macs: 0.5 });
    expect(half.reached.macs).toBe(half.after.macs / half.before.macs);
    expect(half.reached.macs).toBeLessThanOrEqual(0.5);
    expect(half.reached.macs).toBeGreaterThan(0.4);
    expect(half.maxAbsDiff).toBeLessThan(1e-5);

    const aligned = await pruneTo(
      "aligned.onnx",
      "--parameters",
      "0.6",
      "--bytes",
      "0.7",
      "--align",
      "4",
      "--criterion",
      "l2-coupled",
    );
    expect(aligned.target).toEqual({ parameters: 0.6, bytes: 0.7 });
    expect(aligned.reached.parameters).toBeLessThanOrEqual(0.6);
    for (const { kept: left } of aligned.removed) expect(left % 4).toBe(0);

    const raw = await pruneTo("raw.onnx", "--keep", "0.625", "--global", "--normalise", "none");
    expect(kept(raw)).toEqual([
      ["a.neurons", 1],
      ["b.neurons", 19],
    ]);
    const uniform = await pruneTo("uniform.onnx", "--keep", "0.5");
    expect(kept(uniform)).toEqual([
      ["a.neurons", 6],
      ["b.neurons", 10],
    ]);
    const bounded = await pruneTo(
      "bounded.onnx",
      "--keep",
      "0.25",
      "--max-sparsity",
      "0.5",
      "--minimum",
      "8",
    );
    expect(kept(bounded)).toEqual([
      ["a.neurons", 8],
      ["b.neurons", 10],
    ]);
    const even = await pruneTo("even.onnx", "--macs", "0.5", "--no-global");
    const [a, b] = kept(even).map(([, left]) => Number(left));
    expect(Math.abs(a! / 12 - b! / 20)).toBeLessThan(1 / 12);
  });

  test("a gated model is folded, and its gates say which groups stay", async () => {
    const deep = twoLayers();
    const gated = insertGates(deep, findSites(deep), { depth: 2 });
    const gates = Float32Array.from({ length: 12 }, (_, i) => (i % 3 === 0 ? -2 : 0.01 * i));
    gated.setData(gated.value("a.neurons.gate.1")!, tensorOf("float32", [12], gates));
    const [model2, out, plan] = ["gated.onnx", "folded.onnx", "folded.json"].map((name) =>
      join(folder, name),
    ) as [string, string, string];
    await writeFile(model2, writeModel(gated));
    const args = [
      "prune",
      model2,
      "-o",
      out,
      "--criterion",
      "gates",
      "--sites",
      "a.neurons",
      "--keep",
      "0.34",
      "--write-plan",
      plan,
      "--json",
    ];
    const { code, stdout, stderr } = await dgate(args);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(kept(JSON.parse(stdout) as Pruned)).toEqual([["a.neurons", 4]]);
    const { axes } = JSON.parse(await readFile(plan, "utf8")) as {
      axes: { tensor: string; kept: number[] }[];
    };
    expect(axes.find(({ tensor }) => tensor === "a.w")!.kept).toEqual([0, 3, 6, 9]);
    expect(json((await dgate(["inspect", out, "--json"])).stdout)["parameters"]).toBe(
      6 * 4 + 4 + 4 * 20 + 20 + 20 * 3 + 3,
    );
  });

  test("inspect, verify and bench take sizes of open dimensions", async () => {
    const deep = join(folder, "deep2.onnx");
    await writeFile(deep, writeModel(twoLayers()));
    const one = await dgate(["inspect", deep, "--json"]);
    expect(json(one.stdout)).toMatchObject({ macs: 372, dims: {}, assumed: ["batch", "tokens"] });
    const many = await dgate(["inspect", deep, "--dim", "tokens=7", "--json"]);
    expect(json(many.stdout)).toMatchObject({ macs: 7 * 372, dims: { tokens: 7 }, assumed: ["batch"] });
    expect((await dgate(["inspect", deep])).stdout).toContain("372 MACs (batch = 1, tokens = 1)");
    const wrong = await dgate(["inspect", deep, "--dim", "token=7"]);
    expect(wrong).toMatchObject({ code: 2, stdout: "" });
    expect(wrong.stderr).toMatch(
      /^dgate: .*no input has a dimension "token"; the open ones are batch, tokens\.\n$/,
    );
    expect((await dgate(["verify", deep, deep, "--dim", "tokens=3"])).code).toBe(0);
    const timed = await dgate(["bench", deep, deep, "--rounds", "5", "--dim", "tokens=3", "--json"]);
    expect(json(timed.stdout)).toMatchObject({ dims: { tokens: 3 }, batch: 32 });
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
