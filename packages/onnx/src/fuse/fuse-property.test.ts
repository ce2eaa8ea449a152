import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { buildTransformer, transformer } from "../../test/models/random-transformer.ts";
import { feedsOf } from "../../test/models/transformer-model.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "../prune/prune.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { fuse } from "./fuse.ts";

const runs = process.env["DGATE_NIGHTLY"] ? 300 : 20;

test("a random transformer computes the same when it is fused, and so does a pruned one", async () => {
  let fusedLayers = 0;
  await fc.assert(
    fc.asyncProperty(
      transformer(),
      fc.constantFrom("MultiHeadAttention" as const, "Attention" as const),
      fc.boolean(),
      fc.constantFrom(0, 0.25, 0.5, 0.75),
      async (config, attention, sums, sparsity) => {
        const model = buildTransformer(config);
        const plan = planFrom(findSites(model.graph), { criterion: "random", seed: config.seed, sparsity });
        const { graph } = sparsity === 0 ? model : prune(model.graph, plan);
        const { graph: fused, report } = fuse(graph, { attention, sums });
        const feeds = [feedsOf(model, config.seed)];
        expect((await verify(graph, fused, { runs: 0, feeds })).maxRelDiff).toBeLessThan(2e-5);
        fusedLayers += report.fused.filter(({ pattern }) => pattern === "attention").length;
      },
    ),
    { numRuns: runs },
  );
  expect(fusedLayers).toBeGreaterThan(0);
}, 600_000);
