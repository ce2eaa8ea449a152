import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { attentionNet, convNet, denseNet } from "../../test/models/quantizable.ts";
import { dequantizedWeights, dynamicInt8, matMulBnb4, matMulNBits } from "../../test/models/quantize.ts";
import { calibrate, qdq, qlinear } from "../../test/models/quantize-static.ts";
import type { Graph } from "../graph/graph.ts";
import { nf4Levels } from "../quantization/bnb4-levels.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { mask } from "./mask.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune, type PruneReport } from "./prune.ts";

const runs = process.env["DGATE_NIGHTLY"] ? 400 : 25;

const removal = fc.record({
  seed: fc.nat(),
  sparsity: fc.constantFrom(0.25, 0.5, 0.75),
  biases: fc.boolean(),
  features: fc.boolean(),
});

type Removal = typeof removal extends fc.Arbitrary<infer Value> ? Value : never;

/** Removes random groups of every site, input features too if asked; `undefined` if nothing can go. */
async function pruneRandomly(
  graph: Graph,
  { seed, sparsity, biases, features }: Removal,
): Promise<{ report: PruneReport; maxRelDiff: number; acceptable: boolean } | undefined> {
  const sites = findSites(graph).filter(
    ({ kind, prunable }) => prunable === true && (features || kind !== "inputs"),
  );
  if (sites.length === 0) return undefined;
  const names = sites.map(({ name }) => name);
  const plan = planFrom(findSites(graph), { sparsity, criterion: "random", seed, sites: names, biases });
  const { graph: pruned, report } = prune(graph, plan);
  const found = await verify(mask(graph, plan), pruned, { runtime: "node", runs: 2, seed: seed % 1000 });
  return { report, ...found };
}

const widths = fc.array(fc.integer({ min: 2, max: 90 }), { minLength: 1, maxLength: 3 });

const dense = fc.record({
  seed: fc.nat(1000),
  inputs: fc.integer({ min: 3, max: 70 }),
  widths,
  rank: fc.constantFrom(2 as const, 3 as const),
});

const denseGraph = ({
  seed,
  inputs,
  widths: sizes,
  rank,
}: typeof dense extends fc.Arbitrary<infer Value> ? Value : never): Graph =>
  denseNet(seed, inputs, [...sizes, 4], rank);

describe("random groups of random quantized networks: masked equals pruned", () => {
  test("MatMulNBits of all block sizes, bits and zero points, whatever is left over in the last block", async () => {
    const options = fc.record({
      bits: fc.constantFrom(4 as const, 8 as const),
      blockSize: fc.constantFrom(16, 32, 64, 128),
      zeroPoints: fc.constantFrom("none" as const, "packed" as const),
      flat: fc.boolean(),
      bias: fc.boolean(),
      accuracyLevel: fc.constantFrom(0, 4),
    });
    let removed = 0;
    await fc.assert(
      fc.asyncProperty(dense, options, removal, async (network, packing, what) => {
        const found = await pruneRandomly(matMulNBits(denseGraph(network), packing), what);
        if (!found) return;
        removed += found.report.before.bytes - found.report.after.bytes;
        // Sums of 8-bit data are exact, but a float sum before them can round a value to the next step.
        expect(found.maxRelDiff).toBeLessThan(packing.accuracyLevel === 4 ? 0.01 : 1e-5);
        expect(found.acceptable).toBe(true);
      }),
      { numRuns: 2 * runs },
    );
    expect(removed).toBeGreaterThan(0);
  }, 120_000);

  test("weights in blocks behind DequantizeLinear, packed and not, padded and not", async () => {
    const options = fc.record({
      type: fc.constantFrom("int4" as const, "uint4" as const, "int8" as const, "uint8" as const),
      blockSize: fc.constantFrom(0, 8, 16, 24, 32),
      perChannel: fc.boolean(),
      symmetric: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(dense, options, removal, async (network, weights, what) => {
        const found = await pruneRandomly(dequantizedWeights(denseGraph(network), weights), what);
        expect(found?.acceptable ?? true).toBe(true);
      }),
      { numRuns: 2 * runs },
    );
  }, 120_000);

  test("dynamic 8-bit layers agree to the bit: zero is in every range", async () => {
    const options = fc.record({
      type: fc.constantFrom("int8" as const, "uint8" as const),
      perChannel: fc.boolean(),
      symmetric: fc.boolean(),
      reduceRange: fc.boolean(),
    });
    const fused = fc.constantFrom(
      "MatMulIntegerToFloat" as const,
      "DynamicQuantizeMatMul" as const,
      undefined,
    );
    let removed = 0;
    await fc.assert(
      fc.asyncProperty(dense, options, fused, removal, async (network, weights, form, what) => {
        const graph = dynamicInt8(denseGraph(network), { ...weights, ...(form && { fused: form }) });
        const found = await pruneRandomly(graph, what);
        if (!found) return;
        removed += found.report.before.parameters - found.report.after.parameters;
        expect(found.maxRelDiff).toBe(0);
        expect(what.biases ? found.report.keptBack : []).toEqual([]);
      }),
      { numRuns: 2 * runs },
    );
    expect(removed).toBeGreaterThan(0);
  }, 120_000);

  test("QLinear operators and QDQ agree to the bit, convolutions too", async () => {
    const network = fc.record({
      seed: fc.nat(1000),
      channels: fc.integer({ min: 2, max: 9 }),
      activation: fc.constantFrom("Relu", "LeakyRelu", "Sigmoid", "Clip"),
      depthwise: fc.boolean(),
    });
    const options = fc.record({
      type: fc.constantFrom("int8" as const, "uint8" as const),
      perChannel: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(
        network,
        options,
        fc.boolean(),
        removal,
        async ({ seed, ...net }, weights, separate, what) => {
          const float = convNet(seed, net);
          // Kernels want one zero point for all channels.
          const all = { ...weights, symmetric: weights.perChannel, biases: true };
          const ranges = await calibrate(float, 1);
          const graph = separate ? qdq(float, ranges, all) : qlinear(float, ranges, all);
          const found = await pruneRandomly(graph, what);
          expect(found?.maxRelDiff ?? 0).toBe(0);
        },
      ),
      { numRuns: runs },
    );
  }, 120_000);

  test("heads and neurons of a transformer block in every packing", async () => {
    const sizes = fc.record({
      width: fc.constantFrom(24, 32, 48),
      heads: fc.integer({ min: 2, max: 6 }),
      headDim: fc.constantFrom(8, 16, 32, 40),
      neurons: fc.constantFrom(48, 64, 96),
    });
    const form = fc.constantFrom<readonly [number, (float: Graph) => Graph]>(
      [0, (float) => dynamicInt8(float, { perChannel: true })],
      [1e-5, (float) => matMulNBits(float, { bits: 4, blockSize: 16, zeroPoints: "packed" })],
      [1e-5, (float) => matMulNBits(float, { bits: 4, blockSize: 32 })],
      [1e-5, (float) => matMulBnb4(float, 16, 1, nf4Levels)],
      [0.02, (float) => dequantizedWeights(float, { type: "int4", blockSize: 16 })],
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(1000), sizes, form, removal, async (seed, network, [limit, quantize], what) => {
        const found = await pruneRandomly(quantize(attentionNet(seed, network)), what);
        expect(found?.maxRelDiff ?? 0).toBeLessThanOrEqual(limit);
      }),
      { numRuns: runs },
    );
  }, 120_000);
});
