import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { randomGenerator } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { dataFolder } from "../../test/files.ts";
import { proofOf, sitePlan } from "../../test/prune-and-prove.ts";
import type { Graph } from "../graph/graph.ts";
import { elementCount } from "../io/element-types.ts";
import { readModel } from "../io/read.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { findAttention } from "../sites/attention.ts";
import { findSites } from "../sites/find-sites.ts";
import type { VerifyOptions } from "../verify/verify.ts";
import type { PlanOptions } from "../plan/plan-from.ts";

interface File {
  readonly file: string;
  readonly form: string;
  /** Heads and head dim of each layer. */
  readonly layers: readonly (readonly [heads: number, headDim: number])[];
  readonly neurons?: number;
  readonly dims?: Readonly<Record<string, number>>;
}

/** Models that onnxruntime's own optimizer wrote, with its fused attention. */
const files: readonly File[] = [
  { file: "attention_mha", form: "MHA", layers: [[2, 8]] },
  { file: "pruned_attention_opt", form: "Attention", layers: [[2, 4]] },
  {
    file: "gpt2_attention_opt_no_skiplayernorm",
    form: "Attention",
    layers: [[4, 16]],
    dims: { past_sequence_length: 2, sequence_length: 3, batch_size: 2 },
  },
  { file: "whisper_hf_fp32_encoder_self_attention", form: "Attention", layers: [[2, 5]], neurons: 10 },
  {
    file: "whisper_hf_fp32_decoder_attention_with_past",
    form: "MHA",
    layers: [
      [2, 5],
      [2, 5],
    ],
    neurons: 10,
  },
];

const folder = join(dataFolder, "onnx-structures");
const present = existsSync(folder);
if (!present) console.warn(`skipped: ${folder} is not there; set DGATE_DATA to check files of others`);

/** The structure of a file with weights drawn anew: some of these files hold one number everywhere, which hides mistakes. */
function read(file: string): Graph {
  const graph = readModel(readFileSync(join(folder, `${file}.onnx`)));
  const random = randomGenerator(7);
  for (const value of graph.initializers) {
    const { dtype, shape } = value.data!;
    if (dtype !== "float32" || shape.length === 0) continue;
    const scale = shape.length > 1 ? 1 / Math.sqrt(shape[0]!) : 0.5;
    const numbers = Array.from({ length: elementCount(shape) }, () => scale * random.normal());
    graph.setData(value, tensorOf(dtype, shape, numbers));
  }
  return graph;
}

/** Prunes and compares with the mask; the mask itself must make a difference. */
async function pruneAndProve(graph: Graph, options: PlanOptions, verification: VerifyOptions = {}) {
  const proof = await proofOf(graph, sitePlan(graph, options), verification);
  expect(proof.difference).toBeLessThan(2e-6);
  expect(proof.effect).toBeGreaterThan(1e-3);
  expect(proof.report.keptBack).toEqual([]);
  return proof;
}

describe.skipIf(!present).each(files)("$file", ({ file, form, layers, neurons, dims = {} }) => {
  test("its heads are found", () => {
    const found = findAttention(read(file));
    expect(found).toMatchObject(
      layers.map(([heads, headDim]) => ({ form, heads, kvHeads: heads, headDim, prunable: true })),
    );
  });

  test("half of all heads go, and masked equals pruned", async () => {
    const { pruned } = await pruneAndProve(read(file), { sparsity: 0.5, sites: ["heads"] }, { dims });
    expect(findAttention(pruned)).toMatchObject(
      layers.map(([heads, headDim]) => ({ heads: heads / 2, headDim })),
    );
  });

  test("one head of each layer goes, and masked equals pruned", async () => {
    const graph = read(file);
    const heads = findSites(graph).filter(({ kind }) => kind === "heads");
    const kept = Object.fromEntries(
      heads.map(({ name, groups }) => [name, Array.from({ length: groups - 1 }, (_, i) => i + 1)]),
    );
    const { pruned } = await pruneAndProve(graph, { kept }, { dims });
    expect(findAttention(pruned).map((layer) => layer.heads)).toEqual(layers.map(([count]) => count - 1));
  });

  test.runIf(neurons)("half of its FFN neurons go behind BiasGelu, and masked equals pruned", async () => {
    const { pruned } = await pruneAndProve(read(file), { sparsity: 0.5, sites: ["neurons"] }, { dims });
    expect(pruned.value("fc1.bias")!.data!.shape).toEqual([neurons! / 2]);
  });
});
