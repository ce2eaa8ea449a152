import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { findSites } from "../sites/find-sites.ts";
import type { Site } from "../sites/site.ts";
import { planFrom } from "./plan-from.ts";
import type { PlanOptions } from "./plan-options.ts";
import { prune } from "../prune/prune.ts";

/** Two hidden layers whose neurons have the given norms, each on an axis of its own. */
function layered(first: readonly number[], second: readonly number[], inputs = 1): Graph {
  const net = new GraphBuilder();
  const rows = (name: string, norms: readonly number[], size: number): Value => {
    const numbers = Array.from({ length: size * norms.length }, (_, i) => (i < norms.length ? norms[i]! : 0));
    return net.graph.addInitializer(name, tensorOf("float32", [size, norms.length], numbers));
  };
  const x = net.input("x", ["batch", inputs]);
  const a = net.op("Relu", [net.op("MatMul", [x, rows("a/kernel", first, inputs)], {}, "a")]);
  const b = net.op("Relu", [net.op("MatMul", [a, rows("b/kernel", second, first.length)], {}, "b")]);
  return net.output(net.matmul("head", b, [second.length, 2]));
}

/** The kept groups of each planned site. */
function keptBy(sites: readonly Site[], options: PlanOptions): Record<string, readonly number[]> {
  return Object.fromEntries(planFrom(sites, options).axes.map(({ site, kept }) => [site, kept]));
}

describe("all groups ranked together", () => {
  const graph = layered([1, 2, 3, 4], [10, 20, 30, 40]);
  const sites = findSites(graph);

  test("raw norms empty the layer of small weights, to the one group that must stay", () => {
    expect(keptBy(sites, { keep: 0.5, scope: "global", normalise: "none" })).toEqual({
      "a.neurons": [3],
      "b.neurons": [1, 2, 3],
    });
  });

  test.each(["mean", "max"] as const)(
    "divided by their %s, layers of equal profile are cut evenly",
    (normalise) => {
      expect(keptBy(sites, { keep: 0.5, scope: "global", normalise })).toEqual({
        "a.neurons": [2, 3],
        "b.neurons": [2, 3],
      });
    },
  );

  test("mean is the default, and an uneven profile gives uneven layers", () => {
    const uneven = findSites(layered([1, 1, 1, 9], [5, 6, 6, 7]));
    const expected = { "a.neurons": [3], "b.neurons": [1, 2, 3] };
    expect(keptBy(uneven, { keep: 0.5, scope: "global", minimum: 1 })).toEqual(expected);
    expect(keptBy(uneven, { keep: 0.5, scope: "global", normalise: "mean" })).toEqual(expected);
    expect(keptBy(uneven, { keep: 0.5 })).toEqual({ "a.neurons": [0, 3], "b.neurons": [1, 3] });
  });

  test("size divides by the root of the number of weights in a group", () => {
    // Groups of 1 and of 4 weights: 3/√1 > 4/√4.
    const bySize = findSites(layered([3, 3.1, 3.2, 3.3], [4, 4.1, 4.2, 4.3]));
    expect(keptBy(bySize, { keep: 0.5, scope: "global", normalise: "size" })).toEqual({
      "b.neurons": [3],
      "a.neurons": [1, 2, 3],
    });
    expect(keptBy(bySize, { keep: 0.5, scope: "global", normalise: "none" })).toEqual({
      "a.neurons": [3],
      "b.neurons": [1, 2, 3],
    });
  });

  test("minimum and maximumSparsity hold for every site", () => {
    const options = { keep: 0.5, scope: "global", normalise: "none" } as const;
    expect(keptBy(sites, { ...options, minimum: 2 })).toEqual({ "a.neurons": [2, 3], "b.neurons": [2, 3] });
    expect(keptBy(sites, { ...options, maximumSparsity: 0.5 })).toEqual({
      "a.neurons": [2, 3],
      "b.neurons": [2, 3],
    });
    expect(keptBy(sites, { sparsity: 0.9, maximumSparsity: 0.25 })).toEqual({
      "a.neurons": [1, 2, 3],
      "b.neurons": [1, 2, 3],
    });
  });

  test("the fraction of all groups that stays is the one asked for, as nearly as bounds allow", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 2, maxLength: 12 }),
        fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 2, maxLength: 12 }),
        fc.double({ min: 0.05, max: 1, noNaN: true }),
        (first, second, keep) => {
          const kept = keptBy(findSites(layered(first, second)), { keep, scope: "global" });
          const left =
            (kept["a.neurons"]?.length ?? first.length) + (kept["b.neurons"]?.length ?? second.length);
          const total = first.length + second.length;
          expect(left).toBe(Math.max(2, total - Math.round(total * (1 - keep))));
        },
      ),
      { numRuns: 100 },
    );
  });
});

describe("alignment", () => {
  test("kept channels are the nearest multiple, at least one, or all", () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 40 }),
        fc.constantFrom(1, 2, 4, 8, 16),
        fc.double({ min: 0.01, max: 1, noNaN: true }),
        (width, align, keep) => {
          const norms = Array.from({ length: width }, (_, i) => i + 1);
          const kept = keptBy(findSites(layered(norms, [1, 2])), { keep, align, sites: ["a.neurons"] });
          const count = kept["a.neurons"]?.length ?? width;
          const wanted = Math.min(width, Math.max(1, Math.round(keep * width)));
          const nearest = Math.max(1, Math.round(wanted / align)) * align;
          expect(count).toBe(wanted === width ? width : Math.min(width, nearest));
        },
      ),
      { numRuns: 200 },
    );
  });

  test("is in channels of the axis, so heads of four dimensions are aligned to four as they are", () => {
    const sites = findSites(attention(3));
    const headed = { sites: ["heads"], keep: 0.34 } as const;
    const counts = (align: PlanOptions["align"]) =>
      planFrom(sites, { ...headed, ...(align !== undefined && { align }) }).axes.find(
        ({ tensor }) => tensor === "v/kernel",
      )?.kept.length;
    expect([counts(undefined), counts(4), counts(8), counts({ filters: 8 }), counts({ heads: 8 })]).toEqual([
      1, 1, 2, 1, 2,
    ]);
  });
});

/** Attention with heads of four dimensions, and an output projection. */
function attention(count: number): Graph {
  const net = new GraphBuilder();
  const width = 4 * count;
  const x = net.input("x", ["batch", 5, width]);
  const heads = (name: string): Value => {
    const split = net.reshape(net.matmul(name, x, [width, width]), [0, 0, count, 4], `${name}/split`);
    return net.transpose(split, [0, 2, 1, 3]);
  };
  const scores = net.op("Softmax", [net.op("MatMul", [heads("q"), net.transpose(heads("k"), [0, 1, 3, 2])])]);
  const context = net.transpose(net.op("MatMul", [scores, heads("v")]), [0, 2, 1, 3]);
  return net.output(net.matmul("o", net.reshape(context, [0, 0, width], "merge"), [width, 8]));
}

test("heads are planned with all that is coupled to them, the rows of the output projection too", () => {
  const sites = findSites(attention(3));
  const plan = planFrom(sites, { keep: 0.34, sites: ["heads"] });
  expect(
    plan.axes.map(({ tensor, axis, size, blockSize }) => `${tensor}[${axis}] ${size} × ${blockSize}`),
  ).toEqual([
    "k/bias[0] 3 × 4",
    "k/kernel[1] 3 × 4",
    "o/kernel[0] 3 × 4",
    "q/bias[0] 3 × 4",
    "q/kernel[1] 3 × 4",
    "v/bias[0] 3 × 4",
    "v/kernel[1] 3 × 4",
  ]);
  const bare = planFrom(sites, { keep: 0.34, sites: ["heads"], biases: false });
  expect(bare.axes.map(({ tensor }) => tensor)).toEqual(["k/kernel", "o/kernel", "q/kernel", "v/kernel"]);
});

describe("criteria", () => {
  test("l2-coupled is the norm over producers, parameters and consumers", () => {
    const net = new GraphBuilder();
    const constant = (name: string, shape: number[], numbers: number[]): Value =>
      net.graph.addInitializer(name, tensorOf("float32", shape, numbers));
    const x = net.input("x", ["batch", 1]);
    // Squared norms: producers 9, 4, 1; biases 0, 0, 1; consumers 0, 36, 1.
    const hidden = net.op(
      "Gemm",
      [x, constant("w1", [1, 3], [3, 2, 1]), constant("b1", [3], [0, 0, 1])],
      {},
      "fc",
    );
    const y = net.op("MatMul", [net.op("Relu", [hidden]), constant("w2", [3, 1], [0, 6, 1])], {}, "head");
    const sites = findSites(net.output(y));
    const order = (criterion: PlanOptions["criterion"]) =>
      [1 / 3, 2 / 3].map((keep) => keptBy(sites, { keep, criterion: criterion! })["fc.neurons"]);
    expect(order("l2")).toEqual([[0], [0, 1]]);
    expect(order("l2-coupled")).toEqual([[1], [0, 1]]); // 9, 40, 3
  });

  test("gates score by the size of their product, from the gated model or the model itself", () => {
    const graph = layered([1, 2, 3, 4], [1, 2]);
    const sites = findSites(graph);
    const gated = graph.clone();
    gated.addInitializer("a.neurons.gate.1", tensorOf("float32", [4], [4, -3, 1, 0.1]));
    gated.addInitializer("a.neurons.gate.2", tensorOf("float32", [4], [0.1, 2, 2, 1]));
    const options = { keep: 0.5, criterion: "gates", sites: ["a.neurons"] } as const;
    expect(keptBy(sites, { ...options, gated })).toEqual({ "a.neurons": [1, 2] });
    expect(keptBy(findSites(gated), options)).toEqual({ "a.neurons": [1, 2] });
    expect(() => planFrom(sites, options)).toThrow(/no gates "a.neurons.gate.1"; insert gates first/);
    gated.addInitializer("b.neurons.gate.1", tensorOf("float32", [3], [1, 1, 1]));
    expect(() => planFrom(sites, { ...options, gated, sites: ["b.neurons"] })).toThrow(
      /has 2 groups, but 3 gates/,
    );
  });

  test("chance depends on the seed alone", () => {
    const sites = findSites(
      layered(
        Array.from({ length: 30 }, () => 1),
        [1, 2],
      ),
    );
    const kept = (seed: number) => keptBy(sites, { keep: 0.5, criterion: "random", seed });
    expect(kept(1)).toEqual(kept(1));
    expect(kept(1)).not.toEqual(kept(2));
  });

  test("scores of one's own must be there for every site that is ranked with others", () => {
    const sites = findSites(layered([1, 2, 3, 4], [1, 2, 3, 4]));
    const criterion = { "a.neurons": [4, 3, 2, 1] };
    expect(keptBy(sites, { keep: 0.5, criterion })).toEqual({ "a.neurons": [0, 1], "b.neurons": [2, 3] });
    expect(() => planFrom(sites, { keep: 0.5, criterion, scope: "global" })).toThrow(
      /no scores for site "b.neurons"/,
    );
    const signed = { "a.neurons": [-5, 1, 2, 3], "b.neurons": [1, 1, 1, 0] };
    expect(keptBy(sites, { keep: 0.75, criterion: signed, scope: "global" })).toEqual({
      "a.neurons": [1, 2, 3],
      "b.neurons": [0, 1, 2],
    });
  });
});

describe("options", () => {
  const sites = findSites(layered([1, 2, 3], [1, 2, 3]));

  test.each<[PlanOptions, RegExp]>([
    [{}, /give one of keep, sparsity, kept, or a budget/],
    [{ keep: 0.5, macs: 0.5 }, /give one of/],
    [{ kept: { "a.neurons": [0] }, keep: 0.5 }, /give one of/],
    [{ macs: 0 }, /macs is the fraction of the whole model that may stay/],
    [{ bytes: 1.5 }, /bytes is the fraction/],
    [{ parameters: Number.NaN }, /parameters is the fraction/],
    [{ keep: 0.5, minimum: 0 }, /minimum is a number of groups/],
    [{ keep: 0.5, maximumSparsity: 2 }, /maximumSparsity is a fraction/],
    [{ keep: 0.5, align: 0 }, /align is a whole number/],
    [{ keep: 0.5, align: { filters: 1.5 } }, /align is a whole number/],
    // Not a kind, as it may come from a command line.
    [
      { keep: 0.5, align: JSON.parse('{"head": 4}') as Record<string, number> },
      /align: "head" is no kind of site/,
    ],
    [{ keep: 0.5, normalise: "max" }, /give scope: "global" with it/],
    [{ kept: { "a.neurons": [0] }, scope: "global" }, /leave scope out/],
  ])("%j is refused", (options, message) => {
    expect(() => planFrom(sites, options)).toThrow(message);
    expect(() => planFrom(sites, options)).toThrow(expect.objectContaining({ code: "OPTION" }));
  });

  test("sites asked for by kind that cannot be pruned are named with the reason", () => {
    const net = new GraphBuilder();
    const only = net.output(net.gemm("fc", net.input("x", ["batch", 3]), [3, 2]));
    expect(() => planFrom(findSites(only), { keep: 0.5, sites: ["neurons"] })).toThrow(
      /no site of neurons can be pruned. fc.neurons: .* is an output of the model/,
    );
  });
});

test("what is left out of a plan is left as it is", () => {
  const graph = layered([1, 2, 3, 4], [1, 2, 3, 4]);
  const plan = planFrom(findSites(graph), { keep: 1 });
  expect(plan.axes).toEqual([]);
  expect(prune(graph, plan).report.removed).toEqual([]);
});
