import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Graph, quantizeDynamic, tensorOf, writeModel } from "@dgate/onnx";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { inspectModel } from "./inspect-model.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "dgate-inspect-"));
});

afterEach(() => rm(folder, { recursive: true }));

/** One linear layer. */
function linear(): Graph {
  const graph = new Graph("linear");
  const x = graph.addInput("x", { dtype: "float32", shape: ["batch", "sequence_length", 4] });
  const weight = graph.addInitializer("w", tensorOf("float32", [4, 4], new Float32Array(16).fill(0.5)));
  graph.addOutput(graph.addNode({ op: "MatMul", name: "linear", inputs: [x, weight] }).outputs[0]!);
  return graph;
}

async function write(files: Readonly<Record<string, string | Uint8Array>>): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
}

const model = writeModel(linear());
const config = JSON.stringify({ architectures: ["SomethingNew"], max_position_embeddings: 32 });

describe("inspectModel", () => {
  test.each<[string, readonly string[], object, readonly string[]]>([
    ["a model", ["model", "encoder_model"], {}, ["model"]],
    ["a merged decoder", ["decoder_model_merged", "decoder_model"], {}, ["decoder_model_merged"]],
    [
      "an encoder and a decoder",
      ["model", "encoder_model", "decoder_model", "decoder_model_merged"],
      { is_encoder_decoder: true },
      ["encoder_model", "decoder_model_merged"],
    ],
  ])("reads the files that a pipeline opens: %s", async (_, names, more, read) => {
    const files = Object.fromEntries(names.map((name) => [`onnx/${name}.onnx`, model]));
    await write({ "config.json": JSON.stringify(more), ...files });
    const found = await inspectModel(folder);
    expect(found.files.map(({ file }) => file)).toEqual(read);
    expect(found).toMatchObject({ name: folder, dtype: "fp32", task: undefined });
  });

  test("takes the least quantized files unless told, and says that codes are in place of weights", async () => {
    const q8 = writeModel(quantizeDynamic(linear(), { minimumElements: 0 }).graph);
    await write({ "config.json": config, "onnx/model_quantized.onnx": q8 });
    expect(await inspectModel(folder)).toMatchObject({ dtype: "q8", files: [{ quantized: true }] });
    await write({ "onnx/model.onnx": model });
    expect(await inspectModel(folder)).toMatchObject({
      dtype: "fp32",
      files: [{ path: "onnx/model.onnx", sizeBytes: model.length, quantized: false }],
    });
    expect(await inspectModel(folder, { dtype: "q8" })).toMatchObject({ dtype: "q8" });
  });

  test("counts one example of as many tokens as the model takes, or as given", async () => {
    await write({ "config.json": config, "model.onnx": model });
    const [found] = (await inspectModel(folder, { subfolder: "" })).files;
    expect(found!.dims).toEqual({ batch: 1, sequence_length: 32 });
    const [given] = (await inspectModel(folder, { subfolder: "", dims: { batch: 3 } })).files;
    expect(given!.dims).toEqual({ batch: 3, sequence_length: 32 });
  });
});

describe("bad input", () => {
  test.each<[string, Readonly<Record<string, string>>, string, RegExp]>([
    ["no config.json", {}, "IO", /has no config\.json; tried .*config\.json/],
    ["a config that is no JSON", { "config.json": "{" }, "FORMAT", /config\.json is no JSON;/],
    ["a config that is no object", { "config.json": "7" }, "FORMAT", /is no JSON object/],
    ["no ONNX file", { "config.json": "{}" }, "IO", /has no ONNX file; tried onnx\/model\.onnx/],
    [
      "a file that is no model",
      { "config.json": "{}", "onnx/model.onnx": "version https://git-lfs" },
      "FORMAT",
      /onnx\/model\.onnx/,
    ],
  ])("%s", async (_, files, code, message) => {
    await write(files);
    await expect(inspectModel(folder)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as unknown,
    });
  });

  test("an element type that the model lacks", async () => {
    await write({ "config.json": config, "onnx/model.onnx": model });
    const found = inspectModel(folder, { dtype: "q4" });
    await expect(found).rejects.toThrow(/no ONNX file; tried onnx\/model_q4\.onnx/);
    const unknown = inspectModel(folder, { dtype: "q3" as "q4" });
    await expect(unknown).rejects.toMatchObject({ code: "OPTION" });
  });
});
