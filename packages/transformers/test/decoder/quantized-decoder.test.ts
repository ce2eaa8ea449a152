import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import * as transformers from "@huggingface/transformers";
import {
  dequantizeModel,
  hasCodes,
  quantizeBlocks,
  quantizeDynamic,
  readModel,
  verify,
  writeModel,
} from "@dgate/onnx";
import { expect, test } from "vitest";
import { llama } from "../../../onnx/test/models/llama.ts";
import { findBlocks } from "../../src/blocks/find-blocks.ts";
import { openHeadGates } from "../../src/open-head-gates.ts";
import { mergedDecoder } from "./merged-decoder.ts";
import { mergedStories, stories } from "./stories.ts";

const { graph } = llama({ cache: "past", hidden: 32, headDim: 8 });

test.each([
  ["int8", () => quantizeDynamic(graph).graph],
  ["4 bits", () => quantizeBlocks(graph, { blockSize: 16 }).graph],
] as const)("a merged decoder of %s becomes float as its branches do alone", async (_, quantize) => {
  const quantized = quantize();
  const merged = mergedDecoder(quantized);
  expect(hasCodes(merged)).toBe(true);
  const real = dequantizeModel(merged);
  expect(hasCodes(real)).toBe(false);
  const alone = mergedDecoder(dequantizeModel(quantized));
  expect((await verify(alone, real)).maxRelDiff).toBeLessThan(1e-6);
  const names = (of: typeof graph) =>
    findBlocks(of, "decoder")
      .blocks.filter(({ group }) => group !== "layers")
      .map(({ name }) => name);
  expect(names(real)).toEqual(names(graph));
});

test.skipIf(!stories)(
  "heads of a dynamically quantized decoder stay, for its caches may hold them, and that is said",
  async () => {
    const folder = mergedStories();
    const dense = readModel(readFileSync(join(stories!, "onnx/model.onnx")));
    writeFileSync(join(folder, "onnx/model_quantized.onnx"), writeModel(quantizeDynamic(dense).graph));
    const gates = await openHeadGates(folder, { transformers, dtype: "q8" });
    for (let layer = 0; layer < gates.heads.layers; layer++) gates.set(layer, 1, 0);
    await expect(gates.prune()).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringMatching(
        /self_attn\.heads" keeps its groups, since .*DynamicQuantizeLinear.*dtype: "fp32"/,
      ),
    });
    await gates.dispose();
  },
);
