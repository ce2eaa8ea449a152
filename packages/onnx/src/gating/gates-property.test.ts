import { randomGenerator } from "@dgate/core";
import { fc } from "@dgate/testing";
import { expect, test } from "vitest";
import { stored } from "../../test/gated-networks.ts";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { int, ints } from "../graph/attribute.ts";
import { checkGraph } from "../graph/check-graph.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { readModel } from "../io/read.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { planDeadGroups } from "../plan/plan-dead-groups.ts";
import { prune } from "../prune/prune.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { foldGates } from "./fold-gates.ts";
import type { GatedRole } from "./gate-sets.ts";
import { insertGates } from "./insert-gates.ts";
import { readGates } from "./read-gates.ts";

const runs = process.env["DGATE_NIGHTLY"] ? 500 : 25;

/** `[batch, channels, size, size]` */
interface State {
  readonly x: Value;
  readonly channels: number;
  readonly size: number;
}

type LayerRule = (net: GraphBuilder, name: string, state: State) => State;

const layers = {
  conv: (net, name, { x, channels, size }) => {
    return { x: net.conv(name, x, [channels, 6]), channels: 6, size: size - 2 };
  },
  padded: (net, name, { x, channels, size }) => {
    return { x: net.conv(name, x, [channels, 8], { pads: [1, 1, 1, 1], bias: false }), channels: 8, size };
  },
  grouped: (net, name, { x, channels, size }) => {
    const group = channels % 2 === 0 ? 2 : 1;
    return { x: net.conv(name, x, [channels, 6], { kernel: [1, 1], group }), channels: 6, size };
  },
  depthwise: (net, name, { x, channels, size }) => {
    const options = { pads: [1, 1, 1, 1], group: channels };
    return { x: net.conv(name, x, [channels, 2 * channels], options), channels: 2 * channels, size };
  },
  up: (net, name, { x, channels, size }) => {
    return { x: net.convTranspose(name, x, [channels, 4], { strides: [2, 2] }), channels: 4, size: size * 2 };
  },
  batchNorm: (net, name, state) => ({ ...state, x: net.batchNorm(name, state.x, state.channels) }),
  residual: (net, name, { x, channels, size }) => {
    const inner = net.op("Relu", [net.conv(`${name}/a`, x, [channels, 5], { pads: [1, 1, 1, 1] })]);
    const branch = net.conv(`${name}/b`, inner, [5, channels], { kernel: [1, 1] });
    return { x: net.op("Add", [x, branch]), channels, size };
  },
  concat: (net, name, { x, channels, size }) => {
    const other = net.conv(name, x, [channels, 3], { kernel: [1, 1] });
    return { x: net.op("Concat", [other, x], { axis: int(1) }), channels: channels + 3, size };
  },
  shuffle: (net, name, { x, channels, size }) => {
    const wide = net.conv(name, x, [channels, 8], { kernel: [1, 1] });
    const split = net.reshape(wide, [0, 4, 2, size, size], `${name}/split`);
    const turned = net.op("Transpose", [split], { perm: ints([0, 2, 1, 3, 4]) });
    return { x: net.reshape(turned, [0, 8, size, size], `${name}/merge`), channels: 8, size };
  },
} satisfies Record<string, LayerRule>;

const layerNames = Object.keys(layers) as (keyof typeof layers)[]; // its own keys

const cnn = fc
  .record({
    seed: fc.nat(),
    chosen: fc.array(fc.constantFrom(...layerNames), { minLength: 1, maxLength: 4 }),
    activation: fc.constantFrom("Relu", "Tanh", "Sigmoid"),
    flat: fc.boolean(),
    opset: fc.constantFrom(11, 13, 18),
  })
  .map(({ seed, chosen, activation, flat, opset }): Graph => {
    const net = new GraphBuilder(seed, opset);
    let state: State = { x: net.input("x", ["batch", 2, 8, 8]), channels: 2, size: 8 };
    chosen.forEach((layer, i) => {
      if (state.size < 4) return;
      const next = layers[layer](net, `${layer}${i}`, state);
      state = { ...next, x: net.op(activation, [next.x]) };
    });
    const { x, channels, size } = state;
    const features = net.op("Flatten", [flat ? x : net.op("GlobalAveragePool", [x])]);
    return net.output(net.gemm("head", features, [flat ? channels * size * size : channels, 4]));
  });

const mlp = fc
  .record({
    seed: fc.nat(),
    widths: fc.array(fc.integer({ min: 2, max: 9 }), { minLength: 1, maxLength: 3 }),
    residual: fc.boolean(),
    transB: fc.boolean(),
  })
  .map(({ seed, widths, residual, transB }): Graph => {
    const net = new GraphBuilder(seed);
    let [x, width] = [net.input("x", ["batch", 5]), 5];
    widths.forEach((next, i) => {
      const hidden = net.op("Relu", [net.gemm(`fc${i}`, x, [width, next], { transB })]);
      const skip = (): Value => net.gemm(`skip${i}`, hidden, [next, next], { bias: false });
      [x, width] = [residual ? net.op("Add", [hidden, skip()]) : hidden, next];
    });
    return net.output(net.gemm("head", x, [width, 3]));
  });

const attention = fc
  .record({
    seed: fc.nat(),
    heads: fc.integer({ min: 2, max: 4 }),
    headDim: fc.integer({ min: 2, max: 4 }),
    biases: fc.boolean(),
    opset: fc.constantFrom(12, 17),
  })
  .map(({ seed, heads, headDim, biases, opset }): Graph => {
    const net = new GraphBuilder(seed, opset);
    const width = heads * headDim;
    const x = net.input("x", ["batch", "tokens", 6]);
    const part = (name: string, perm: readonly number[]): Value => {
      const made = net.matmul(name, x, [6, width], biases);
      return net.transpose(net.reshape(made, [0, 0, heads, headDim], `${name}/split`), perm);
    };
    const scores = net.op("MatMul", [part("q", [0, 2, 1, 3]), part("k", [0, 2, 3, 1])], {}, "attn/scores");
    const weights = net.op("Softmax", [scores], { axis: int(3) }, "attn/softmax");
    const context = net.op("MatMul", [weights, part("v", [0, 2, 1, 3])], {}, "attn/context");
    const merged = net.reshape(net.transpose(context, [0, 2, 1, 3]), [0, 0, width], "attn/merge");
    const y = net.op("Add", [x, net.matmul("o", merged, [width, 6], biases)]);
    const hidden = net.op("Tanh", [net.matmul("up", y, [6, 8], biases)]);
    return net.output(net.matmul("down", hidden, [8, 3]));
  });

const gating = fc.record({
  seed: fc.nat(),
  depth: fc.integer({ min: 2, max: 4 }),
  initial: fc.constantFrom("ones" as const, "balanced" as const),
  roles: fc.subarray<GatedRole>(["producer", "consumer", "parameter"]),
});

/** Random gates for a model, some of them zero, as the defaults of a copy. */
function learned(gated: Graph, seed: number): Graph {
  const random = randomGenerator(seed);
  const copy = gated.clone();
  for (const { names, product } of new Set(readGates(gated).values())) {
    const dead = Array.from(product, () => random.next() < 0.3);
    for (const [d, name] of names.entries()) {
      const gate = copy.value(name)!;
      const values = Array.from(readNumbers(gate.data!), (g, j) =>
        dead[j] && d === 0 ? 0 : g * (0.5 + random.next()),
      );
      gate.data = tensorOf("float32", [values.length], values);
    }
  }
  return copy;
}

test.each<[string, fc.Arbitrary<Graph>]>([
  ["CNN", cnn],
  ["MLP", mlp],
  ["transformer block", attention],
])(
  "gates of a random %s change nothing, fold to what they compute, and prune to the same",
  async (_, networks) => {
    let removed = 0;
    await fc.assert(
      fc.asyncProperty(networks, gating, async (dense, { seed, depth, initial, roles }) => {
        const open = findSites(dense).filter(({ prunable }) => prunable === true);
        const random = randomGenerator(seed);
        const sites = open.filter(() => random.next() < 0.6).map(({ name }) => name);
        if (sites.length === 0) return;
        const kinds = { neurons: roles, filters: roles, heads: roles, headDims: roles };
        const gated = insertGates(dense, open, { depth, initial, sites, roles: kinds });
        checkGraph(gated);
        expect((await verify(dense, gated, { runs: 1 })).maxRelDiff).toBeLessThan(1e-5);
        const again = foldGates(readModel(writeModel(gated))).graph;
        const whole = initial === "ones" ? stored(dense) : foldGates(gated).graph;
        expect(writeModel(again)).toEqual(writeModel(readModel(writeModel(whole))));
        const model = learned(gated, seed);
        const { graph: folded, groups } = foldGates(model);
        expect((await verify(model, folded, { runs: 1 })).maxRelDiff).toBeLessThan(1e-5);
        // Exactly the groups of norm 0; where all of a site are, one stays.
        const { plan } = planDeadGroups(findSites(folded), { groups, absolute: 0, relative: 0 });
        const { graph: small, report } = prune(folded, plan);
        expect((await verify(model, small, { runs: 1 })).maxRelDiff).toBeLessThan(1e-5);
        removed += report.before.parameters - report.after.parameters;
      }),
      { numRuns: runs },
    );
    expect(removed).toBeGreaterThan(0);
  },
  240_000,
);
