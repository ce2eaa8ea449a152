import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { dataFolder } from "@dgate/testing";
import { readModel } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { transformerModels } from "../../../onnx/test/models/models.ts";
import { findBlocks } from "./find-blocks.ts";

const folder = dataFolder() ?? "";

function blocksOf(path: string) {
  const graph = readModel(readFileSync(path));
  const { blocks, findings } = findBlocks(graph, "model");
  const groups = (wanted: string): number[] =>
    blocks.filter(({ group }) => group === wanted).map((block) => block.groups);
  return { blocks, findings, heads: groups("heads"), ffn: groups("ffn"), layers: groups("layers") };
}

/** Heads (of grouped queries those of keys and values) and neurons by layer, from the models' own descriptions. */
const real = [
  {
    file: "models/bert-mini-sst2/onnx/model.onnx",
    heads: [8, 8, 8, 8],
    queries: 8,
    ffn: [1024, 1024, 1024, 1024],
    cached: false,
  },
  {
    file: "models/tinyllamas/stories260K/onnx/model.onnx",
    heads: [4, 4, 4, 4, 4],
    queries: 8,
    ffn: [172, 172, 172, 172, 172],
    cached: true,
  },
  {
    file: "models/vit-cifar10-pgd-2-3-16/model.onnx",
    heads: [3, 3],
    queries: 3,
    ffn: [96, 96],
    cached: false,
  },
];

describe.each(real)("$file", ({ file, heads, queries, ffn, cached }) => {
  const path = join(folder, file);

  test.skipIf(!existsSync(path))(
    "every attention layer, feed-forward layer and residual branch is found",
    () => {
      const found = blocksOf(path);
      expect(found.heads).toEqual(heads);
      expect(found.ffn).toEqual(ffn);
      // Two branches a layer: attention and feed-forward.
      expect(found.layers).toEqual(Array(2 * heads.length).fill(1));
      const attention = found.blocks.filter(({ group }) => group === "heads");
      expect(attention.map((block) => block.attention?.heads)).toEqual(heads.map(() => queries));
      expect(attention.map((block) => block.layer)).toEqual(heads.map((_, l) => l));
      expect(attention.every((block) => block.cached === cached)).toBe(true);
      expect(found.findings.every(({ gated }) => gated === true)).toBe(true);
    },
  );
});

const count = (n: number, value: number): number[] => Array<number>(n).fill(value);

/** Exported files: heads and neurons of each layer that is gated, residual branches, and why an attention layer is not. */
const exported: Readonly<
  Record<string, readonly [heads: number[], ffn: number[], branches: number, refused?: RegExp]>
> = {
  "attention_int32_mask.onnx": [[2], [], 1],
  "attention_mha.onnx": [[2], [], 0],
  // Its queries, keys and values are inputs of the file.
  "attention_past_state.onnx": [[], [], 0, /heads cannot be followed/],
  "attention_symbolic_batch.onnx": [[2], [], 1],
  "bert_toy_optimized.onnx": [count(5, 4), count(5, 37), 10],
  "cnn_mnist_pytorch.onnx": [[], [], 0],
  "gpt2_attention_opt_no_skiplayernorm.onnx": [[4], [], 1],
  "gpt2_one_layer.onnx": [[2], [16], 2],
  "gpt2_past_one_layer.onnx": [[2], [16], 2],
  "gpt2_pytorch1.4_opset11_no_past.onnx": [count(12, 2), count(12, 16), 24],
  "mnist.onnx": [[], [], 0],
  "pruned_attention_opt.onnx": [[2], [], 0],
  "self_attention_megatron_basic_test.onnx": [[2], [], 0],
  "tf_bert_mrpc_opset10.onnx": [count(12, 2), count(12, 32), 24],
  "vespa_dummy_transformer.onnx": [[2, 2], [32, 32], 4],
  "vespa_random_encoder.onnx": [[], [16], 2, /one head only/],
  "whisper_hf_fp32_decoder_attention_with_past.onnx": [[2, 2], [], 0],
  "whisper_hf_fp32_encoder_self_attention.onnx": [[2], [], 0],
};

describe("exported structures", () => {
  const path = join(folder, "onnx-structures");

  test.skipIf(!existsSync(path))("every file is in the table", () => {
    expect(
      readdirSync(path)
        .filter((name) => name.endsWith(".onnx"))
        .sort(),
    ).toEqual(Object.keys(exported).sort());
  });

  test.skipIf(!existsSync(path)).each(Object.entries(exported))(
    "%s",
    (file, [heads, ffn, branches, refused]) => {
      const found = blocksOf(join(path, file));
      expect(found.heads).toEqual(heads);
      expect(found.ffn).toEqual(ffn);
      expect(found.layers.length).toBe(branches);
      const reasons = found.findings.flatMap(({ gated }) => (gated === true ? [] : [gated]));
      expect(reasons.map((reason) => refused?.exec(reason)?.[0])).toEqual(refused ? [refused.source] : []);
    },
  );
});

describe("families", () => {
  const families = transformerModels.filter(({ name }) => !name.startsWith("ALBERT"));

  test.each(families)("$name: the heads that the model says it has, of keys and values", ({ build }) => {
    const { graph, attention } = build();
    const { blocks, findings } = findBlocks(graph, "model");
    const heads = blocks.filter(({ group }) => group === "heads");
    expect(heads.map(({ groups }) => groups)).toEqual(attention.map(({ kvHeads }) => kvHeads));
    expect(heads.map((block) => block.attention!.heads)).toEqual(attention.map((layer) => layer.heads));
    expect(blocks.some(({ group }) => group === "ffn")).toBe(true);
    expect(new Set(blocks.map(({ name }) => name)).size).toBe(blocks.length);
    expect(findings.filter(({ group, gated }) => group !== "layers" && gated !== true)).toEqual([]);
  });

  test("tied layers share one block; the others say so", () => {
    const { graph, attention } = transformerModels.find(({ name }) => name.startsWith("ALBERT"))!.build();
    const { blocks, findings } = findBlocks(graph, "model");
    expect(attention.length).toBe(2);
    expect(blocks.map(({ group, groups }) => [group, groups])).toEqual([
      ["heads", 4],
      ["ffn", 24],
    ]);
    expect(findings.filter(({ group }) => group === "heads").map(({ gated }) => gated)).toEqual([
      true,
      expect.stringContaining("shares them"),
    ]);
    expect(
      findings
        .filter(({ group }) => group === "layers")
        .every(({ gated }) => String(gated).includes("uses the same weight")),
    ).toBe(true);
  });

  test("branches of a merged decoder's layers are refused, with what to prune instead", () => {
    const { graph } = transformerModels.find(({ name }) => name === "GPT-2 merged")!.build();
    const layers = findBlocks(graph, "model").findings.filter(({ group }) => group === "layers");
    expect(layers.map(({ gated }) => gated)).toEqual(
      count(4, 0).map(() => expect.stringContaining("prune its heads and neurons")),
    );
  });
});
