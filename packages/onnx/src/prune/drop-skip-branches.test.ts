import { makePlan, type PrunePlan } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { fusedDecoder } from "../../test/models/fused-decoder.ts";
import { fusedBert, fusedVit, smallEncoder } from "../../test/models/fused-encoder.ts";
import { proofOf, type ProofOptions } from "../../test/prune-and-prove.ts";
import type { Graph } from "../graph/graph.ts";
import { fingerprint } from "./mask.ts";

/** A plan that removes everything that these kernels write: their branches are dead. */
function deadOutputs(graph: Graph, ...kernels: string[]): PrunePlan {
  const axes = kernels.map((tensor) => {
    const blockSize = graph.value(tensor)!.data!.shape[1]!;
    return { site: tensor, tensor, axis: 1, size: 1, blockSize, kept: [] };
  });
  return makePlan({ fingerprint: fingerprint(graph), axes });
}

const operators = (graph: Graph): string[] => graph.nodes().map(({ op }) => op);

async function dropAndProve(graph: Graph, plan: PrunePlan, options: ProofOptions = {}): Promise<Graph> {
  const { pruned, difference, effect } = await proofOf(graph, plan, options);
  expect(difference).toBeLessThan(5e-6);
  expect(effect).toBeGreaterThan(1e-3);
  return pruned;
}

describe("a dead branch of a fused skip normalisation disappears", () => {
  test("BERT: the attention of one layer, the FFN of the other", async () => {
    const graph = fusedBert();
    const pruned = await dropAndProve(graph, deadOutputs(graph, "layer0/output/kernel", "layer1/fc2/kernel"));
    const left = operators(pruned);
    expect(left.filter((op) => op === "Attention")).toHaveLength(1);
    expect(left.filter((op) => op === "BiasGelu")).toHaveLength(1);
    expect(left.filter((op) => op === "SkipLayerNormalization")).toHaveLength(2);
    // The bias of the sum stays, as an Add before the plain normalisation.
    expect(left.filter((op) => op === "Add")).toHaveLength(2);
    expect(left.filter((op) => op === "LayerNormalization")).toHaveLength(2);
  });

  test("ViT: a whole layer, whose running sums are the stream of the next", async () => {
    const graph = fusedVit({ ...smallEncoder, layers: 3 });
    const pruned = await dropAndProve(graph, deadOutputs(graph, "layer1/output/kernel", "layer1/fc2/kernel"));
    expect(operators(pruned).filter((op) => op === "MultiHeadAttention")).toHaveLength(2);
    expect(pruned.value("layer1/q/kernel")).toBeUndefined();
    expect(pruned.value("layer1/fc1/kernel")).toBeUndefined();
  });

  test("decoder: without caches a whole layer goes; with them the attention stays, for its caches", async () => {
    for (const caches of [false, true]) {
      const { graph, feeds } = fusedDecoder({ caches });
      const plan = deadOutputs(graph, "layers.0/o_proj/kernel", "layers.0/down_proj/kernel");
      const options = { runs: 0, feeds: [feeds(caches ? 2 : 0, 1), feeds(0, 4)] };
      const pruned = await dropAndProve(graph, plan, options);
      expect(pruned.value("layers.0/o_proj/kernel")).toBeUndefined();
      expect(pruned.value("layers.0/up_proj/kernel")).toBeUndefined();
      expect(operators(pruned).filter((op) => op === "GroupQueryAttention")).toHaveLength(caches ? 2 : 1);
      expect(operators(pruned).filter((op) => op === "SkipSimplifiedLayerNormalization")).toHaveLength(2);
    }
  });
});
