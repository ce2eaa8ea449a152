import { cp, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import {
  type Graph,
  ints,
  quantizeBlocks,
  quantizeDynamic,
  readNumbers,
  type Tensor,
  tensorOf,
  type Value,
  writeModel,
  writeModelParts,
} from "@dgate/onnx";
import { dataFolder } from "@dgate/testing";
import * as transformers from "@huggingface/transformers";
import * as nodeRuntime from "onnxruntime-node";
import * as webRuntime from "onnxruntime-web";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { denseStack } from "../test/dense-stack.ts";
import { tinyBertFolder, type TinyBertOptions, tinyTexts, writeFiles } from "../test/tiny-bert-folder.ts";
import type { HeadGates } from "./head-gates.ts";
import type { LibraryPipeline } from "./library/library.ts";
import { openHeadGates, type HeadGatesOptions } from "./open-head-gates.ts";

const realData = dataFolder();

let parent: string;
let folder: string;
const opened: HeadGates[] = [];
const { allowRemoteModels } = transformers.env;

beforeAll(async () => {
  transformers.env.allowRemoteModels = false;
  parent = await mkdtemp(join(tmpdir(), "dgate-open-"));
  folder = await tiny();
});

afterEach(async () => {
  for (const gates of opened.splice(0)) {
    await gates.dispose();
    await gates.pipeline.dispose?.();
  }
});

afterAll(async () => {
  transformers.env.allowRemoteModels = allowRemoteModels;
  await rm(parent, { recursive: true });
});

/** A tiny BERT in a folder of its own. */
const tiny = async (options: TinyBertOptions = {}): Promise<string> =>
  tinyBertFolder(await mkdtemp(join(parent, "model-")), options);

const open = async (
  source: Parameters<typeof openHeadGates>[0],
  options?: HeadGatesOptions,
): Promise<HeadGates> => {
  const gates = await openHeadGates(source, options);
  opened.push(gates);
  return gates;
};

const pipelineOf = (path: string, options: object = {}): Promise<LibraryPipeline> =>
  transformers.pipeline("text-classification", path, {
    dtype: "fp32",
    ...options,
  }) as unknown as Promise<LibraryPipeline>; // the library's own types are finer

const quantized = (graph: Graph): Uint8Array =>
  writeModel(quantizeDynamic(graph, { minimumElements: 0 }).graph);

describe("opens", () => {
  test("a folder: heads, neurons and branches by request", async () => {
    const gates = await open(folder);
    expect(gates.heads.values.map(({ length }) => length)).toEqual([4, 4]);
    expect([gates.ffn.layers, gates.layers.layers, gates.depth]).toEqual([0, 0, 3]);
    const all = await open(folder, { sites: ["layers", "ffn", "heads"], depth: 2 });
    expect(all.ffn.values.map(({ length }) => length)).toEqual([24, 24]);
    expect([all.layers.layers, all.depth]).toEqual([4, 2]);
    expect(all.blocks).toHaveLength(8);
    expect(all.findings.every(({ gated }) => gated === true)).toBe(true);
    expect(all.explain()).toContain("4 heads of 4");
    expect(await all.pipeline(tinyTexts)).toHaveLength(tinyTexts.length);
  });

  test("a pipeline that is loaded already: its sessions, tokenizer and task", async () => {
    const pipeline = await pipelineOf(folder);
    const gates = await open(pipeline, { model: folder });
    expect(gates.pipeline).toBe(pipeline);
    const before = await pipeline(tinyTexts);
    await gates.attach();
    gates.set(0, 0, 0).set(1, 2, 0);
    expect(await pipeline(tinyTexts)).not.toEqual(before);
    await gates.dispose();
    expect(await pipeline(tinyTexts)).toEqual(before);
  });

  test("a quantized pipeline with its dtype", async () => {
    const path = await tiny({
      files: (graph) => ({
        "onnx/model.onnx": writeModel(graph),
        "onnx/model_quantized.onnx": quantized(graph),
      }),
    });
    const gates = await open(await pipelineOf(path, { dtype: "q8" }), { model: path, dtype: "q8" });
    expect(gates.internals.parts[0]!.quantized).toBe(true);
  });

  test("ONNX files in another subfolder, under another name", async () => {
    const path = await tiny({ files: (graph) => ({ "other/small.onnx": writeModel(graph) }) });
    const gates = await open(path, { subfolder: "other", modelFileName: "small" });
    expect(gates.internals.model.parts[0]!.path).toBe("other/small.onnx");
  });

  test("a file with its weights beside it", async () => {
    const path = await tiny({
      files: (graph) => {
        const parts = writeModelParts(graph, "model.onnx_data", { externalData: { threshold: 0 } });
        const beside = Buffer.concat([...parts.data!.chunks()]);
        return { "onnx/model.onnx": parts.model, "onnx/model.onnx_data": beside };
      },
    });
    const gates = await open(path, { library: { use_external_data_format: true } });
    const [part] = gates.internals.model.parts;
    expect(part!.sizeBytes).toBeGreaterThan(60_000);
    const dense = await gates.pipeline(tinyTexts);
    await gates.attach();
    expect(await gates.pipeline(tinyTexts)).toEqual(dense);
    const pruned = await gates.prune({ keep: 0.5 });
    expect(pruned.files[0]!.pruned!.verification.equal).toBe(true);
    await writeFiles(path, { "onnx/model.onnx_data": new Uint8Array(100) });
    // The runtime would tell it on the console too.
    const quiet = { use_external_data_format: true, session_options: { logSeverityLevel: 4 } };
    await expect(openHeadGates(path, { library: quiet })).rejects.toMatchObject({
      code: "FORMAT",
      message: expect.stringMatching(
        /onnx\/model\.onnx takes bytes .* of "model\.onnx_data", which has 100; download/,
      ),
    });
  });
});

describe("the element type", () => {
  test("is the least quantized that there is, or the one that is asked for", async () => {
    const path = await tiny({
      files: (graph) => ({
        "onnx/model_q4.onnx": writeModel(quantizeBlocks(graph, { blockSize: 16, minimumElements: 0 }).graph),
        "onnx/model_quantized.onnx": quantized(graph),
      }),
    });
    const dtypeOf = async (options?: HeadGatesOptions): Promise<string> => {
      return (await open(path, options)).internals.model.dtype;
    };
    expect(await dtypeOf()).toBe("q8");
    expect(await dtypeOf({ dtype: "q4" })).toBe("q4");
    const { graph } = (await open(folder)).internals.parts[0]!;
    await writeFiles(path, { "onnx/model.onnx": writeModel(graph) });
    expect(await dtypeOf()).toBe("fp32");
  });

  test("that is not there: says where it was looked for, and which there are", async () => {
    await expect(openHeadGates(folder, { dtype: "q4" })).rejects.toMatchObject({
      code: "IO",
      message:
        `openHeadGates: "${folder}" has no onnx/model_q4.onnx; tried ${folder}/onnx/model_q4.onnx. ` +
        'There is fp32: { dtype: "fp32" }, say.',
    });
  });

  test("q8 alone: gates of the dequantized model, and codes that stay are the file's own", async () => {
    const path = await tiny({ files: (graph) => ({ "onnx/model_quantized.onnx": quantized(graph) }) });
    const gates = await open(path, { sites: ["heads", "ffn"] });
    const [part] = gates.internals.parts;
    expect(part!.quantized).toBe(true);
    const report = await gates.learn([...tinyTexts, ...tinyTexts], {
      steps: 4,
      batchSize: 2,
      latency: false,
      heldOut: 0.2,
      target: { heads: 0.5 },
    });
    expect(report.losses).toHaveLength(4);
    for (let neuron = 3; neuron < 11; neuron++) gates.ffn.set(0, neuron, 0);
    const pruned = await gates.prune();
    const [before, after] = [part!.source.graph, pruned.files[0]!.graph];
    expect(pruned.files[0]!.pruned!.verification.equal).toBe(true);
    const cut = before.initializers.filter(({ name, data }) => {
      const left = after.value(name)?.data;
      return data!.dtype.endsWith("int8") && left && left.shape.join() !== data!.shape.join();
    });
    // Of a layer Q, K, V and O; of the feed-forward layer both weights.
    expect(cut.length).toBeGreaterThanOrEqual(6);
    for (const { name, data } of cut) {
      const small = after.value(name)!.data!;
      const axis = small.shape[0] === data!.shape[0] ? 1 : 0;
      // Rows or columns that are left stand in the file's order, as they were.
      const [own, rest] = [slicesOf(data!, axis), slicesOf(small, axis)];
      let at = 0;
      for (const slice of own) if (slice === rest[at]) at += 1;
      expect([name, at]).toEqual([name, rest.length]);
    }
  });
});

/** Rows (axis 0) or columns of a matrix, as text. */
function slicesOf(matrix: Tensor, axis: number): string[] {
  const numbers = Array.from(readNumbers(matrix), Number);
  const columns = matrix.shape[1]!;
  return Array.from({ length: matrix.shape[axis]! }, (_, at) =>
    numbers.filter((__, i) => (axis === 0 ? Math.floor(i / columns) : i % columns) === at).join(),
  );
}

/** Talking heads: the scores of all heads are mixed before the Softmax, so that no head stands alone. */
function talkingHeads(graph: Graph): Graph {
  const mix = graph.addInitializer(
    "mix",
    tensorOf(
      "float32",
      [4, 4],
      Array.from({ length: 16 }, (_, i) => Math.cos(i)),
    ),
  );
  for (const softmax of graph.nodes("Softmax")) {
    const op = (name: string, inputs: readonly Value[], attributes = {}): Value =>
      graph.addNode({ op: name, inputs, attributes }).outputs[0]!;
    const last = op("Transpose", [softmax.inputs[0]!], { perm: ints([0, 2, 3, 1]) });
    const mixed = op("MatMul", [last, mix]);
    graph.setInput(softmax, 0, op("Transpose", [mixed], { perm: ints([0, 3, 1, 2]) }));
  }
  return graph;
}

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&");

/** What opening fails with; the arguments are those of a caller without types. */
const failure = (source: unknown, options: unknown): Promise<unknown> =>
  openHeadGates(source as string, options as HeadGatesOptions).catch((error: unknown) => error);
/** An error of one line. */
const fault = (code: string, message: string | RegExp): object => ({
  code,
  message: expect.stringMatching(
    new RegExp(`^(?=[^\\n]*$).*${typeof message === "string" ? escaped(message) : message.source}`),
  ),
});

describe("bad input", () => {
  test.each<[string, string, RegExp]>([
    ["{", "FORMAT", /config\.json is no JSON; download the model again\.$/],
    ["7", "FORMAT", /config\.json is no JSON object; download the model again\.$/],
    ["null", "FORMAT", /config\.json is no JSON object; download the model again\.$/],
    [
      "{}",
      "UNSUPPORTED",
      /the architecture \(none is named in config\.json\) is not known; name its task: \{ task/,
    ],
    ['{"architectures":["Odd"]}', "UNSUPPORTED", /the architecture Odd is not known; name its task: \{ task/],
  ])("config.json is %s", async (content, code, message) => {
    const path = await tiny();
    await writeFiles(path, { "config.json": content });
    expect(await failure(path, {})).toMatchObject(fault(code, message));
  });

  test("no config.json, no folder", async () => {
    const path = await tiny();
    await rm(join(path, "config.json"));
    for (const place of [path, join(path, "nowhere")]) {
      expect(await failure(place, {})).toMatchObject(
        fault("IO", `tried ${place}/config.json. Give the path of a model folder or the id`),
      );
    }
  });

  test("scores that lack a block, or a group of one", async () => {
    const gates = await openHeadGates(await tiny());
    const scores = await gates.importance("l2");
    const [first] = scores.keys();
    for (const lacking of [
      new Map(),
      new Map([...scores].slice(1)),
      new Map(scores).set(first!, Float64Array.of(1)),
    ])
      await expect(gates.prune({ keep: 0.5, scores: lacking })).rejects.toMatchObject(
        fault("DATA", "prune: scores have nothing for group"),
      );
    await expect(
      gates.learn(["a film", "a play"], { target: { heads: 0.5 }, scores: new Map(), heldOut: ["a"] }),
    ).rejects.toMatchObject(fault("DATA", "learn: scores have nothing for group"));
    await gates.dispose();
  });

  test("a second call of learn while one is under way", async () => {
    const gates = await openHeadGates(await tiny());
    const first = gates.learn([]);
    await expect(gates.learn([])).rejects.toMatchObject(fault("OPTION", "being learned already"));
    await expect(first).rejects.toMatchObject(fault("DATA", "learn: none of 0 examples"));
    await expect(gates.learn([])).rejects.toMatchObject({ code: "DATA" });
    await gates.dispose();
  });

  test("no ONNX file", async () => {
    const path = await tiny({ files: () => ({}) });
    expect(await failure(path, {})).toMatchObject(
      fault("IO", `has no ONNX file; tried onnx/model.onnx, onnx/decoder_model_merged.onnx`),
    );
    expect(await failure(path, {})).toMatchObject(fault("IO", `… in ${path}/`));
    expect(await failure(folder, { subfolder: "weights" })).toMatchObject(
      fault("IO", "tried weights/model.onnx"),
    );
    expect(await failure(folder, { modelFileName: "other" })).toMatchObject(
      fault("IO", /has no onnx\/other\.onnx; .* Name its subfolder or modelFileName/),
    );
  });

  test.each<[string, (bytes: Uint8Array) => string | Uint8Array, RegExp]>([
    ["cut off", (bytes) => bytes.subarray(0, 5000), /the file is cut off or damaged/],
    ["empty", () => "", /the file is empty, cut off or not an ONNX model/],
    [
      "a pointer to one",
      () => "version https://git-lfs.github.com/spec/v1\n",
      /is a pointer of Git LFS.*git lfs pull/,
    ],
  ])("an ONNX file that is %s is named", async (_, damage, message) => {
    const path = await tiny({ files: (graph) => ({ "onnx/model.onnx": damage(writeModel(graph)) }) });
    expect(await failure(path, {})).toMatchObject(fault("FORMAT", message));
    expect(await failure(path, {})).toMatchObject(fault("FORMAT", `${path}/onnx/model.onnx: `));
  });

  test("no tokenizer", async () => {
    const path = await tiny();
    await rm(join(path, "tokenizer.json"));
    expect(await failure(path, {})).toMatchObject(
      fault("IO", /cannot open .* as text-classification \(fp32\): .*tokenizer\.json/),
    );
  });

  test("a model without attention", async () => {
    const path = await tiny({ files: () => ({ "onnx/model.onnx": writeModel(denseStack()) }) });
    expect(await failure(path, {})).toMatchObject(
      fault(
        "NO_MATCH",
        `openHeadGates: "${path}" has no heads to gate: it has no attention and no feed-forward layers that @dgate/transformers knows; try prune of @dgate/onnx`,
      ),
    );
  });

  test("a model whose attention is not recognised: the operators around its Softmax", async () => {
    const path = await tiny({ files: (graph) => ({ "onnx/model.onnx": writeModel(talkingHeads(graph)) }) });
    expect(await failure(path, {})).toMatchObject(
      fault(
        "NO_MATCH",
        /layer\.0.*Softmax: its pattern is not recognised: .*Transpose → MatMul → Transpose → Softmax → MatMul → .*Please report the model/,
      ),
    );
    // Its other sites can be gated, and what was found of the heads is told.
    const gates = await open(path, { sites: ["ffn"] });
    expect(gates.explain()).toMatch(/heads .*no: its pattern is not recognised/);
  });

  test("a model without what was asked for, but with heads", async () => {
    const path = await tiny({ layers: 1, heads: 1, headDim: 8 });
    expect(await failure(path, {})).toMatchObject(
      fault("NO_MATCH", /has no heads to gate: \/bert\/encoder\/layer\.0\/attention\/self: .*one head/),
    );
  });

  test("a pipeline whose model is not named, or is another one", async () => {
    const pipeline = await pipelineOf(folder);
    expect(await failure(pipeline, {})).toMatchObject(fault("OPTION", "a session does not keep its file"));
    expect(await failure(pipeline.model, { model: folder })).toMatchObject(
      fault("OPTION", "give the pipeline in place of its model"),
    );
    const other = await tiny({ head: "pooler" });
    expect(await failure(pipeline, { model: other })).toMatchObject(
      fault(
        "CHECK",
        `${other}/onnx/model.onnx is not the file of the pipeline: its outputs are last_hidden_state, pooler_output, those of the pipeline logits. Name the model`,
      ),
    );
    expect(await failure(pipeline, { model: folder, dtype: "q8" })).toMatchObject(
      fault("IO", 'There is fp32: { dtype: "fp32" }, say.'),
    );
    expect(await failure(pipeline, { model: join(folder, "gone") })).toMatchObject(
      fault("IO", "gone/config.json"),
    );
    await pipeline.dispose?.();
  });

  test.each<[object, RegExp]>([
    [{ depth: 1 }, /depth is 1, expected a whole number of at least 2/],
    [{ depth: 2.5 }, /depth is 2\.5/],
    [{ depth: "3" }, /depth is 3, expected/],
    [{ sites: [] }, /sites is empty; expected some of heads, ffn, layers/],
    [{ sites: ["heads", "neurons"] }, /sites has "neurons"/],
    [{ sites: "heads" }, /sites is no list; .*\["heads"\]/],
    [{ sites: null }, /sites is no list/],
    [{ threads: 0 }, /threads is 0, expected a whole number of at least 1/],
    [{ threads: 1.5 }, /threads is 1\.5/],
    [{ dtype: "q3" }, /dtype "q3" is not known; there are fp32, fp16, q8/],
    [{ dtype: "__proto__" }, /dtype "__proto__" is not known/],
    [{ task: "chat" }, /task "chat" is not known; there are text-classification/],
    [{ transformers: {} }, /transformers is not the module/],
  ])("the option %j", async (options, message) => {
    expect(await failure(folder, options)).toMatchObject(fault("OPTION", message));
  });

  test.each([[undefined], [null], [""], [7], [true]])("the source %j", async (source) => {
    expect(await failure(source, {})).toMatchObject(
      fault("OPTION", "give the id of a model, the path of its folder, or a pipeline"),
    );
  });

  test.each([[{}], [[]], [() => 1]])("the source %o with a model", async (source) => {
    expect(await failure(source, { model: folder })).toMatchObject(fault("OPTION", "give the pipeline"));
  });

  test("a task or device that the library cannot open the model for", async () => {
    expect(await failure(folder, { task: "text-generation" })).toMatchObject(
      fault("IO", /cannot open .* as text-generation \(fp32\): Unsupported model type/),
    );
    expect(await failure(folder, { library: { device: "abacus" } })).toMatchObject(
      fault("IO", 'Unsupported device: "abacus"'),
    );
  });

  test("another onnxruntime than that of transformers.js; its own is no other", async () => {
    const message =
      /`ort` is onnxruntime 1\.30\.0, but transformers\.js runs in a copy of its own \(1\.30\.0\); .* Leave `ort` out/;
    expect(await failure(folder, { ort: webRuntime })).toMatchObject(fault("OPTION", message));
    expect(await failure(folder, { ort: {} })).toMatchObject(fault("OPTION", /`ort` is another onnxruntime/));
    expect((await open(folder, { ort: nodeRuntime })).heads.layers).toBe(2);
  });

  test("a pipeline of another copy of the library, to open and to attach", async () => {
    const other = await import("@xenova/transformers");
    const kept = { ...other.env };
    Object.assign(other.env, { localModelPath: `${parent}/`, allowRemoteModels: false });
    const pipeline = (await other.pipeline("text-classification", basename(folder), {
      quantized: false,
    })) as unknown as LibraryPipeline; // the library's own types are finer
    Object.assign(other.env, kept);
    expect(await failure(pipeline, { model: folder })).toMatchObject(
      fault("OPTION", /the pipeline is not of @huggingface\/transformers 4.*give its own module/),
    );
    const gates = await open(pipeline, { model: folder, transformers: other });
    expect(gates.heads.layers).toBe(2);
    const newer = await open(folder);
    expect(await failure(newer.pipeline, { model: folder, transformers: other })).toMatchObject(
      fault("OPTION", "is not of @xenova/transformers 2"),
    );
    await expect(newer.attach(pipeline)).rejects.toMatchObject({
      code: "OPTION",
      message: expect.stringContaining("another copy of onnxruntime than the one that the gates run in"),
    });
    const pruned = await newer.prune({ keep: 0.5 });
    await expect(pruned.attach(pipeline)).rejects.toMatchObject({ code: "OPTION" });
    expect(await failure(folder, { transformers: other, ort: nodeRuntime })).toMatchObject(
      fault("OPTION", "`ort` is onnxruntime 1.30.0"),
    );
  });

  test("a tokenizer of another model", async () => {
    const path = await tiny({ vocabulary: 15 });
    const gates = await open(path);
    await expect(gates.learn(tinyTexts, { steps: 4 })).rejects.toMatchObject({
      code: "CHECK",
      message: expect.stringMatching(
        /^learn: the tokenizer gives token (1[5-9]|2\d) for example \d, but the model has 15 \(0 to 14\); it is the tokenizer of another/,
      ),
    });
  });

  test.skipIf(!realData)("a decoder with the tokenizer of a BERT", async () => {
    const path = await mkdtemp(join(parent, "mixed-"));
    await cp(join(realData!, "models/tinyllamas/stories260K"), path, { recursive: true });
    for (const name of ["tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"]) {
      await cp(join(realData!, "models/bert-mini-sst2", name), join(path, name));
    }
    const gates = await open(path);
    const texts = ["the plot is thin", "a film to remember", "it ends", "long and dull"];
    await expect(gates.learn(texts, { objective: "next-token", steps: 4 })).rejects.toMatchObject({
      code: "CHECK",
      message: expect.stringMatching(/token \d+ for example \d, but the model has 512 \(0 to 511\)/),
    });
  });
});
