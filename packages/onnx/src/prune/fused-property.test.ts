import { randomGenerator } from "@dgate/core";
import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { FusedBuilder, headCount } from "../../test/models/fused-builder.ts";
import { proofOf, sitePlan } from "../../test/prune-and-prove.ts";
import { int, ints } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { findSites } from "../sites/find-sites.ts";

const runs = process.env["DGATE_NIGHTLY"] ? 500 : 40;

const attentions = ["Attention", "MultiHeadAttention", "GroupQueryAttention", "ai.onnx Attention"] as const;
const activations = ["BiasGelu", "FastGelu", "QuickGelu", "Gelu"] as const;

const encoder = fc.record({
  seed: fc.nat(),
  layers: fc.array(
    fc.record({
      attention: fc.constantFrom(...attentions),
      activation: fc.constantFrom(...activations),
      kvHeads: fc.integer({ min: 1, max: 4 }),
      repeats: fc.integer({ min: 1, max: 3 }),
      dim: fc.integer({ min: 1, max: 5 }),
      valueDim: fc.integer({ min: 1, max: 5 }),
      /** Whether each head has its own bias of the scores. */
      perHead: fc.boolean(),
      packed: fc.boolean(),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  sparsity: fc.constantFrom(0.25, 0.5, 0.75),
});

type Layer = (typeof encoder extends fc.Arbitrary<infer T> ? T : never)["layers"][number];

const width = 6;
const time = 3;

const rules: {
  readonly [A in Layer["attention"]]: (
    net: FusedBuilder,
    name: string,
    x: Value,
    layer: Layer,
  ) => [Value, number];
} = {
  Attention: (net, name, x, { kvHeads: heads, dim, valueDim, perHead }) => {
    const sizes = [heads * dim, heads * dim, heads * valueDim];
    const columns = sizes.reduce((a, b) => a + b);
    const bias = perHead ? net.weight(`${name}/scores`, [1, heads, time, time]) : undefined;
    const weights = [net.kernel(`${name}/qkv`, [width, columns]), net.weight(`${name}/qkv_bias`, [columns])];
    const [y] = net.fused("Attention", [x, ...weights, undefined, undefined, bias], {
      attributes: { ...headCount(heads), qkv_hidden_sizes: ints(sizes) },
    });
    return [y!, sizes[2]!];
  },
  MultiHeadAttention: (net, name, x, { kvHeads: heads, dim, valueDim, perHead }) => {
    const sizes = [heads * dim, heads * dim, heads * valueDim];
    const parts = sizes.map((size, i) => net.project(`${name}/${i}`, x, [width, size]));
    const bias = net.weight(`${name}/bias`, [sizes.reduce((a, b) => a + b)]);
    const scores = perHead ? net.weight(`${name}/scores`, [1, heads, time, time]) : undefined;
    const [y] = net.fused("MultiHeadAttention", [...parts, bias, undefined, scores], {
      attributes: headCount(heads),
    });
    return [y!, sizes[2]!];
  },
  GroupQueryAttention: (net, name, x, { kvHeads, repeats, perHead, packed }) => {
    const heads = kvHeads * repeats;
    const sizes = [heads * 8, kvHeads * 8, kvHeads * 8];
    const total = sizes.reduce((a, b) => a + b);
    const parts = packed
      ? [net.matmul(`${name}/qkv`, x, [width, total]), undefined, undefined]
      : sizes.map((size, i) => net.matmul(`${name}/${i}`, x, [width, size]));
    const lengths = [net.int32(`${name}/last`, [1], [time - 1]), net.int32(`${name}/total`, [1], [time])];
    const sink = perHead ? net.weight(`${name}/sink`, [heads]) : undefined;
    const open = [undefined, undefined, undefined, undefined];
    const [y] = net.fused(
      "GroupQueryAttention",
      [...parts, undefined, undefined, ...lengths, ...open, sink],
      {
        attributes: { num_heads: int(heads), kv_num_heads: int(kvHeads) },
      },
    );
    return [y!, sizes[0]!];
  },
  "ai.onnx Attention": (net, name, x, { kvHeads, repeats, dim, valueDim, perHead }) => {
    const heads = kvHeads * repeats;
    const sizes = [heads * dim, kvHeads * dim, kvHeads * valueDim];
    const parts = sizes.map((size, i) => net.matmul(`${name}/${i}`, x, [width, size]));
    const mask = perHead ? [net.weight(`${name}/mask`, [heads, time, time])] : [];
    const counts = { q_num_heads: int(heads), kv_num_heads: int(kvHeads) };
    return [net.op("Attention", [...parts, ...mask], counts), heads * valueDim];
  },
};

function build({ seed, layers }: { seed: number; layers: readonly Layer[] }): Graph {
  const net = new FusedBuilder(seed, 23);
  const x = net.input("x", [1, time, width]);
  let stream = x;
  layers.forEach((layer, i) => {
    const name = `layer${i}`;
    const [context, size] = rules[layer.attention](net, `${name}/attention`, stream, layer);
    const attended = net.project(`${name}/output`, context, [size, width]);
    const [normal, sum] = net.skipNorm(`${name}/norm`, attended, stream, width);
    const hidden = net.project(`${name}/fc1`, normal, [width, 7]);
    const bias = net.weight(`${name}/fc1_bias`, [7]);
    const takesBias = layer.activation === "BiasGelu" || layer.activation === "FastGelu";
    const inputs = takesBias ? [hidden, bias] : [net.op("Add", [hidden, bias])];
    const [active] = net.fused(layer.activation, inputs);
    stream = net.op("Add", [net.project(`${name}/fc2`, active!, [7, width]), sum]);
  });
  return net.output(stream);
}

test("any heads, queries, dims and neurons of fused layers: masked equals pruned in onnxruntime", async () => {
  let compared = 0;
  await fc.assert(
    fc.asyncProperty(encoder, async ({ seed, layers, sparsity }) => {
      const graph = build({ seed, layers });
      const random = randomGenerator(seed);
      const open = findSites(graph).filter(({ prunable }) => prunable === true);
      // Of heads, queries and dims of one weight, any one.
      const chosen = new Map(
        open.filter(() => random.next() < 0.6).map((site) => [`${site.node} ${site.axis}`, site.name]),
      );
      const sites = [...chosen.values()];
      if (sites.length === 0) return;
      const plan = sitePlan(graph, { sparsity, criterion: "random", seed, sites });
      if (plan.axes.length === 0) return;
      const { difference, report } = await proofOf(graph, plan, { runs: 1 });
      expect(difference).toBeLessThan(1e-5);
      expect(report.keptBack).toEqual([]);
      compared += 1;
    }),
    { numRuns: runs, seed: 5 },
  );
  expect(compared).toBeGreaterThan(runs / 2);
});
