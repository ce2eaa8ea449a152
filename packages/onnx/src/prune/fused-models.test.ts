import { describe, expect, test } from "vitest";
import { fusedDecoder, type DecoderOptions } from "../../test/models/fused-decoder.ts";
import { fusedBert, fusedVit, smallEncoder } from "../../test/models/fused-encoder.ts";
import { proofOf, shapeOf, sitePlan } from "../../test/prune-and-prove.ts";
import type { Graph } from "../graph/graph.ts";
import type { Tensor } from "../graph/tensor.ts";
import { findAttention } from "../sites/attention.ts";
import { countCosts } from "../sites/count-costs.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify, type VerifyOptions } from "../verify/verify.ts";
import { mask } from "./mask.ts";
import { planFrom, type PlanOptions } from "../plan/plan-from.ts";
import { prune } from "./prune.ts";

/** Prunes and compares with the mask; the mask itself must make a difference. */
async function pruneAndProve(graph: Graph, options: PlanOptions, verification: VerifyOptions = {}) {
  const proof = await proofOf(graph, sitePlan(graph, options), verification);
  expect(proof.difference).toBeLessThan(5e-6);
  expect(proof.effect).toBeGreaterThan(1e-3);
  expect(proof.report.keptBack).toEqual([]);
  return proof;
}

const halved = { sparsity: 0.5, sites: ["heads", "neurons"] } as const;

describe("encoders as onnxruntime's optimizer writes them", () => {
  const { heads, headDim, neurons, layers } = smallEncoder;
  const width = heads * headDim;

  test("BERT: half of all heads and FFN neurons go", async () => {
    const graph = fusedBert();
    expect(findAttention(graph)).toHaveLength(layers);
    const { pruned } = await pruneAndProve(graph, halved);
    for (let layer = 0; layer < layers; layer++) {
      expect(shapeOf(pruned, `layer${layer}/qkv/kernel`)).toEqual([width, (3 * width) / 2]);
      expect(shapeOf(pruned, `layer${layer}/qkv/bias`)).toEqual([(3 * width) / 2]);
      expect(shapeOf(pruned, `layer${layer}/output/kernel`)).toEqual([width / 2, width]);
      expect(shapeOf(pruned, `layer${layer}/fc1/bias`)).toEqual([neurons / 2]);
      expect(shapeOf(pruned, `layer${layer}/fc2/kernel`)).toEqual([neurons / 2, width]);
    }
    const attention = pruned.nodes("Attention", "com.microsoft")[0]!;
    expect(attention.attributes.get("num_heads")).toMatchObject({ value: heads / 2 });
    expect(attention.attributes.get("qkv_hidden_sizes")).toMatchObject({
      value: [width / 2, width / 2, width / 2],
    });
  });

  test("BERT: the constant that neurons without weights emit behind BiasGelu is folded", async () => {
    const { report } = await pruneAndProve(fusedBert(), {
      sparsity: 0.5,
      sites: ["neurons"],
      biases: false,
    });
    expect(report.removed.every(({ groups, kept }) => kept === groups / 2)).toBe(true);
  });

  test("ViT: half of all heads and FFN neurons go, with biases in the operator", async () => {
    const { pruned } = await pruneAndProve(fusedVit(), halved);
    for (let layer = 0; layer < layers; layer++) {
      expect(shapeOf(pruned, `layer${layer}/qkv/bias`)).toEqual([(3 * width) / 2]);
      expect(shapeOf(pruned, `layer${layer}/v/kernel`)).toEqual([width, width / 2]);
      expect(shapeOf(pruned, `layer${layer}/fc1/bias`)).toEqual([neurons / 2]);
    }
  });

  test("multiply–adds are those of the projections and of the two products", () => {
    const [batch, time] = [2, 5];
    const perLayer =
      batch * time * width * 3 * width + // Q, K, V
      2 * batch * time * time * width + // Q·Kᵀ and P·V
      batch * time * width * width + // output
      2 * batch * time * width * neurons;
    expect(countCosts(fusedBert(), { batch, time }).macs).toBe(layers * perLayer);
    const ends = batch * time * width * (width + 5);
    expect(countCosts(fusedVit(), { batch, time }).macs).toBe(layers * perLayer + ends);
  });
});

describe("decoders as onnxruntime-genai writes them", () => {
  const variants: readonly (readonly [string, DecoderOptions])[] = [
    ["separate projections", {}],
    ["packed projection, rotary embeddings", { packed: true, rotary: true }],
    ["separate projections, rotary embeddings", { rotary: true }],
    ["one key–value head", { kvHeads: 1, heads: 3 }],
    ["four key–value heads", { kvHeads: 4, headDim: 8 }],
    ["no caches", { caches: false, packed: true }],
    ["sinks", { sink: true }],
    ["biases of the scores", { scoreBias: true }],
  ];

  describe.each(variants)("%s", (_, options) => {
    const { graph, heads, kvHeads, headDim, feeds } = fusedDecoder(options);
    const steps: readonly (readonly [number, number])[] = options.scoreBias
      ? [[11, 1]]
      : options.caches === false
        ? [[0, 5]]
        : [
            [0, 5],
            [4, 1],
          ];
    const verification = {
      runs: 0,
      feeds: steps.map(([past, tokens]): Readonly<Record<string, Tensor>> => feeds(past, tokens)),
    };

    test("its heads are found", () => {
      expect(findAttention(graph)).toHaveLength(2);
      for (const layer of findAttention(graph)) {
        expect(layer).toMatchObject({ form: "GQA", heads, kvHeads, headDim, prunable: true });
      }
      expect(findAttention(graph)[0]!.name).toBe("/model/layers.0/attn");
    });

    test("half of all heads and FFN neurons go; caches and what belongs to a head follow", async () => {
      const { pruned, report } = await pruneAndProve(graph, halved, verification);
      const groups = kvHeads === 1 ? heads : kvHeads;
      const left = Math.max(1, Math.round(groups / 2));
      const now = { heads: left * (heads / groups), kvHeads: kvHeads === 1 ? 1 : left };
      for (const layer of findAttention(pruned)) expect(layer).toMatchObject({ ...now, headDim });
      expect(shapeOf(pruned, "layers.1/sink")).toEqual(options.sink ? [now.heads] : undefined);
      expect(shapeOf(pruned, "layers.1/score_bias")).toEqual(
        options.scoreBias ? [1, now.heads, 1, 12] : undefined,
      );
      const caches = options.caches === false || kvHeads === 1 ? [] : ["key", "value"];
      expect(report.inputs.map(({ name }) => name)).toEqual(
        [0, 1].flatMap((layer) => caches.map((part) => `past_key_values.${layer}.${part}`)),
      );
      for (const { kept } of report.inputs) expect(kept).toHaveLength(now.kvHeads);
      expect(shapeOf(pruned, "layers.0/down_proj/kernel")).toEqual([5, 24]);
    });

    test.skipIf(options.scoreBias)("random inputs fit it, with caches that start empty", async () => {
      const plan = planFrom(findSites(graph), halved);
      const { graph: pruned, report } = prune(graph, plan);
      const { inputs, outputs } = report;
      expect((await verify(mask(graph, plan), pruned, { inputs, outputs })).maxRelDiff).toBeLessThan(5e-6);
    });

    test.runIf(kvHeads > 1 && kvHeads < heads)(
      "the queries of every key–value head can go alone, and caches stay as they are",
      async () => {
        const plan = { sparsity: 0.5, sites: ["queries"] } as const;
        const { pruned, report } = await pruneAndProve(graph, plan, verification);
        expect(findAttention(pruned)[0]).toMatchObject({ heads: heads / 2, kvHeads, headDim });
        expect(report.inputs).toEqual([]);
      },
    );
  });
});
