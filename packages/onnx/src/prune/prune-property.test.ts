import { randomGenerator } from "@dgate/core";
import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { activations, buildCnn, type Cnn, cnn } from "../../test/random-cnn.ts";
import { buildNdCnn, ndCnn } from "../../test/random-nd-cnn.ts";
import type { Graph } from "../graph/graph.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { mask } from "./mask.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "./prune.ts";

const runs = process.env["DGATE_NIGHTLY"] ? 1000 : 60;
/** Random groups of random sites; returns what differs, and what went. */
async function pruneRandomly(
  graph: Graph,
  { seed, sparsity, biases }: Pick<Cnn, "seed" | "sparsity" | "biases">,
) {
  const random = randomGenerator(seed);
  const sites = findSites(graph).filter(({ prunable }) => prunable === true);
  const some = sites.filter(() => random.next() < 0.7).map(({ name }) => name);
  if (some.length === 0) return undefined;
  const plan = planFrom(findSites(graph), { sparsity, criterion: "random", seed, sites: some, biases });
  const { graph: pruned, report } = prune(graph, plan);
  return { report, ...(await verify(mask(graph, plan), pruned, { runs: 2 })) };
}

test("zeroing groups of a random CNN and removing them give the same output", async () => {
  let removed = 0;
  await fc.assert(
    fc.asyncProperty(cnn, async (network) => {
      const found = await pruneRandomly(buildCnn(network), network);
      if (!found) return;
      removed += found.report.before.parameters - found.report.after.parameters;
      expect(found.maxRelDiff).toBeLessThan(1e-5);
    }),
    { numRuns: runs },
  );
  expect(removed).toBeGreaterThan(0);
}, 120_000);

test("zeroing groups of a random CNN over sequences or volumes and removing them give the same output", async () => {
  await fc.assert(
    fc.asyncProperty(ndCnn, async (network) => {
      const found = await pruneRandomly(buildNdCnn(network), network);
      expect(found?.maxRelDiff ?? 0).toBeLessThan(1e-5);
    }),
    { numRuns: runs / 2 },
  );
}, 120_000);

const mlp = fc.record({
  seed: fc.nat(),
  widths: fc.array(fc.integer({ min: 2, max: 9 }), { minLength: 1, maxLength: 4 }),
  activation: fc.constantFrom(...activations),
  rank: fc.constantFrom(2, 3),
  residual: fc.boolean(),
  biases: fc.boolean(),
  sparsity: fc.constantFrom(0.25, 0.5, 0.75),
});

test("zeroing groups of a random MLP and removing them give the same output, and every planned group goes", async () => {
  await fc.assert(
    fc.asyncProperty(mlp, async ({ seed, widths, activation, rank, residual, biases, sparsity }) => {
      const net = new GraphBuilder(seed, 20);
      let x = net.input("x", rank === 2 ? ["batch", 5] : ["batch", 4, 5]);
      let width = 5;
      widths.forEach((next, i) => {
        const layer =
          rank === 2 ? net.gemm(`fc${i}`, x, [width, next]) : net.matmul(`fc${i}`, x, [width, next]);
        const hidden = net.op(activation, [layer]);
        const skip = residual && rank === 3;
        x = skip
          ? net.op("Add", [hidden, net.op("Tanh", [net.matmul(`skip${i}`, hidden, [next, next], false)])])
          : hidden;
        width = next;
      });
      const graph = net.output(
        rank === 2 ? net.gemm("head", x, [width, 3]) : net.matmul("head", x, [width, 3]),
      );
      const found = await pruneRandomly(graph, { seed, sparsity, biases });
      expect(found?.maxRelDiff ?? 0).toBeLessThan(1e-5);
      // Without a shared stream nothing can object.
      expect(residual ? [] : (found?.report.keptBack ?? [])).toEqual([]);
    }),
    { numRuns: runs },
  );
}, 120_000);
