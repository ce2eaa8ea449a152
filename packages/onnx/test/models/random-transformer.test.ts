import { findAttention, findSites, mask, planFrom, prune, verify } from "@dgate/onnx";
import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { buildTransformer, transformer } from "./random-transformer.ts";
import { feedsOf } from "./transformer-model.ts";

const runs = process.env["DGATE_NIGHTLY"] ? 300 : 15;

test("in a random transformer all heads are found, and those zeroed and those removed give the same outputs", async () => {
  await fc.assert(
    fc.asyncProperty(
      transformer(),
      fc.constantFrom(["heads"] as const, undefined),
      fc.constantFrom(0.25, 0.5, 0.75),
      async (config, kinds, sparsity) => {
        const model = buildTransformer(config);
        const found = findAttention(model.graph).map(({ heads, kvHeads, headDim, prunable }) => {
          return { heads, kvHeads, headDim, prunable };
        });
        const expected = model.attention.map(({ heads, kvHeads, headDim }) => {
          return { heads, kvHeads, headDim, prunable: true };
        });
        expect(found).toEqual(expected);
        const chosen = { criterion: "random", seed: config.seed, sparsity } as const;
        const plan = planFrom(findSites(model.graph), kinds ? { ...chosen, sites: kinds } : chosen);
        const { graph: small, report } = prune(model.graph, plan);
        expect(report.keptBack).toEqual([]);
        const feeds = [feedsOf(model, config.seed)];
        const proof = await verify(mask(model.graph, plan), small, { runs: 0, feeds });
        expect(proof.maxRelDiff).toBeLessThan(2e-5);
      },
    ),
    { numRuns: runs },
  );
}, 600_000);
