import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PassThrough } from "node:stream";
import { randomGenerator } from "@dgate/core";
import { encodeSafetensors, type SafetensorsEntry } from "@dgate/core/safetensors";
import { Graph, tensorOf, writeModel } from "@dgate/onnx";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { run } from "../run.ts";

let folder: string;
let model: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-recover-"));
  model = join(folder, "mlp.onnx");
  await writeFile(model, writeModel(perceptron()));
});

afterAll(() => rm(folder, { recursive: true }));

/** Gemm 4 → 8, Relu, Gemm 8 → 2. */
function perceptron(): Graph {
  const random = randomGenerator(3);
  const graph = new Graph("mlp");
  const constant = (name: string, shape: readonly number[]) => {
    const count = shape.reduce((a, b) => a * b, 1);
    return graph.addInitializer(
      name,
      tensorOf(
        "float32",
        shape,
        Array.from({ length: count }, () => random.normal()),
      ),
    );
  };
  const x = graph.addInput("x", { dtype: "float32", shape: ["batch", 4] });
  const inputs = [x, constant("w1", [4, 8]), constant("b1", [8])];
  const hidden = graph.addNode({ op: "Gemm", name: "hidden", inputs });
  const relu = graph.addNode({ op: "Relu", name: "relu", inputs: hidden.outputs });
  const y = graph.addNode({
    op: "Gemm",
    name: "out",
    inputs: [relu.outputs[0], constant("w2", [8, 2]), constant("b2", [2])],
  });
  graph.addOutput(y.outputs[0]!);
  return graph;
}

/** Writes a calibration file of normal numbers. */
async function calibration(
  name: string,
  tensors: Readonly<Record<string, readonly number[]>>,
): Promise<string> {
  const random = randomGenerator(4);
  const entries = Object.entries(tensors).map(([tensor, shape]): [string, SafetensorsEntry] => {
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () => random.normal());
    return [tensor, { dtype: "F32", shape, bytes: new Uint8Array(values.buffer) }];
  });
  const path = join(folder, name);
  await writeFile(path, encodeSafetensors(new Map(entries)));
  return path;
}

async function prune(out: string, calibrate: string, ...more: string[]) {
  const stdout = new PassThrough({ encoding: "utf8" });
  const lines: string[] = [];
  const progress = { line: (text: string) => lines.push(text), bar: () => undefined };
  const args = ["prune", model, "-o", join(folder, out), "--sparsity", "0.5", "--calibrate", calibrate];
  const code = await run([...args, ...more], { stdout, progress });
  return { code, stdout: String(stdout.read() ?? ""), lines };
}

describe("prune --calibrate", () => {
  test("fits the surviving weights and says how far the outputs were and are", async () => {
    const file = await calibration("inputs.safetensors", { x: [64, 4] });
    const { code, stdout } = await prune("fitted.onnx", file, "--json");
    expect(code).toBe(0);
    const document = JSON.parse(stdout) as {
      recovery: {
        outputErrorBefore: number;
        outputErrorAfter: number;
        layers: unknown[];
      };
      after: { parameters: number };
    };
    expect(document.recovery.layers).toMatchObject([
      { node: "out", rows: 56, taken: true, validation: { rows: 8 } },
    ]);
    expect(document.recovery.outputErrorAfter).toBeLessThan(0.8 * document.recovery.outputErrorBefore);
    expect(document.after.parameters).toBe(4 * 4 + 4 + 4 * 2 + 2);
    const text = await prune("text.onnx", file);
    expect(text.stdout).toMatch(
      /squared error of the outputs on the calibration inputs: .* % → .* %, .* on held-out/,
    );
    expect(
      (await readFile(join(folder, "text.onnx"))).equals(await readFile(join(folder, "fitted.onnx"))),
    ).toBe(true);
  });

  test.each([
    [{ y: [8, 4] }, /no tensor "x"; give one tensor for each of the inputs x/],
    [{ x: [8, 4], y: [8] }, /there is no input "y"/],
    [{ x: [32] }, /"x" is \[32\], but the model takes \[batch, 4\]/],
    [{ x: [0, 4] }, /0 rows make no batch/],
    [{ x: [8, 5] }, /x float32\[batch, 4\]|takes float32\[batch, 4\]/],
  ])("a file of %j is refused with its path and nothing is written", async (tensors, message) => {
    const file = await calibration("bad.safetensors", tensors);
    const { code, lines } = await prune("none.onnx", file);
    expect(code).toBe(2);
    expect(lines.at(-1)).toMatch(message);
    await expect(readFile(join(folder, "none.onnx"))).rejects.toThrow("ENOENT");
  });

  test("a file that is no safetensors file is refused with its path", async () => {
    const { code, lines } = await prune("none.onnx", model);
    expect(code).toBe(2);
    expect(lines.at(-1)).toMatch(/--calibrate .*mlp\.onnx: safetensors: /);
  });
});
