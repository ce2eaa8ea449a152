import { randomGenerator } from "@dgate/core";
import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { type ConvOptions, GraphBuilder } from "../../test/graph-builder.ts";
import { float, int } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { gatherTensor, readNumbers, tensorOf } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "../prune/prune.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import type { Batch } from "./batches.ts";
import { recover } from "./recover.ts";

/** Standard normal content for input "x". */
function batches(count: number, shape: readonly number[], seed = 1): Batch[] {
  const random = randomGenerator(seed);
  return Array.from({ length: count }, () => {
    const size = shape.reduce((a, b) => a * b, 1);
    return { x: { shape, data: Float32Array.from({ length: size }, () => random.normal()) } };
  });
}

/** Makes output channels `indices.length` of a producer copies of its channels `indices[i]`, some larger. */
function repeatChannels(
  graph: Graph,
  names: readonly string[],
  axis: number,
  indices: readonly number[],
): void {
  for (const name of names) {
    const value = graph.value(name)!;
    const at = value.data!.shape.length === 1 ? 0 : axis;
    graph.setData(value, gatherTensor(value.data!, at, indices));
  }
}

const numbersOf = (graph: Graph, name: string): number[] => [...readNumbers(graph.value(name)!.data!)];

/** Networks whose second layer reads 8 channels, of which the last four of each half repeat the first ones. */
const copies = [0, 1, 0, 1, 4, 5, 4, 5];
const stay = [0, 1, 4, 5];

interface Consumer {
  readonly name: string;
  readonly shape: readonly number[];
  readonly build: (net: GraphBuilder) => Value;
}

function denseConsumer(name: string, layer: (net: GraphBuilder, hidden: Value) => Value): Consumer {
  return {
    name,
    shape: [7, 5],
    build: (net) => layer(net, net.op("Relu", [net.gemm("first", net.input("x", ["batch", 5]), [5, 8])])),
  };
}

function convConsumer(
  name: string,
  options: ConvOptions,
  after?: (net: GraphBuilder, y: Value) => Value,
): Consumer {
  return {
    name,
    shape: [2, 3, 6, 5],
    build(net) {
      const x = net.input("x", ["batch", 3, 6, 5]);
      const first = net.conv("first", x, [3, 8], { kernel: [2, 2] });
      const y = net.conv("second", net.op("Relu", [first]), [8, 4], options);
      return after ? after(net, y) : y;
    },
  };
}

const consumers: readonly Consumer[] = [
  denseConsumer("Gemm", (net, h) => net.gemm("second", h, [8, 3])),
  denseConsumer("Gemm without bias", (net, h) => net.gemm("second", h, [8, 3], { bias: false })),
  denseConsumer("Gemm with alpha, beta and transB", (net, h) => {
    const operands = [h, net.weight("second/kernel", [3, 8]), net.weight("second/bias", [1, 3])];
    return net.op("Gemm", operands, { alpha: float(0.5), beta: float(3), transB: int(1) }, "second");
  }),
  denseConsumer("Gemm with one number as bias", (net, h) =>
    net.op("Gemm", [h, net.weight("second/kernel", [8, 3]), net.weight("second/bias", [1])], {}, "second"),
  ),
  denseConsumer("MatMul and Add", (net, h) => net.matmul("second", h, [8, 3])),
  denseConsumer("MatMul", (net, h) => net.op("Tanh", [net.matmul("second", h, [8, 3], false)])),
  convConsumer("Conv", { pads: [1, 1, 0, 1], strides: [2, 1] }),
  convConsumer("dilated Conv without bias", { kernel: [2, 2], dilations: [2, 2], bias: false }),
  convConsumer("grouped Conv", { group: 2 }),
  convConsumer("Conv and Add", { bias: false }, (net, y) =>
    net.op("Add", [net.weight("shift", [4, 1, 1]), y]),
  ),
];

describe("removed channels that repeat kept ones", () => {
  test.each(consumers)("$name: the refit is exact", async ({ build, shape }) => {
    const net = new GraphBuilder(3);
    const dense = net.output(build(net));
    const axis = shape.length === 4 ? 0 : 1;
    repeatChannels(dense, ["first/kernel", "first/bias"], axis, copies);
    const sites = findSites(dense);
    const own = sites.filter((site) => site.tensor === "first/kernel" && site.axis === axis);
    // Of a grouped consumer the site is the channels of a group.
    const kept = Object.fromEntries(
      own
        .filter(({ prunable }) => prunable === true)
        .map(({ name, groups }) => [name, groups === 8 ? stay : [0, 1]]),
    );
    const pruned = prune(dense, planFrom(sites, { kept }));
    expect(pruned.graph.value("first/kernel")!.data!.shape[axis]).toBe(4);
    const { graph, report } = await recover(dense, pruned, batches(30, shape), { ridge: 0 });
    expect(report.skipped).toEqual([]);
    expect(report.layers.map(({ node, taken }) => [node, taken])).toEqual([["second", true]]);
    const [layer] = report.layers;
    expect(layer!.errorBefore).toBeGreaterThan(1e-2);
    expect(layer!.errorAfter).toBeLessThan(1e-10);
    expect(report.outputErrorBefore).toBeGreaterThan(1e-2);
    expect(report.outputErrorAfter).toBeLessThan(1e-10);
    expect((await verify(dense, graph, { dims: { batch: 5 } })).maxRelDiff).toBeLessThan(1e-5);
  });

  test("of three layers: each sees what the fitted layers before it give", async () => {
    const net = new GraphBuilder(4);
    const x = net.input("x", ["batch", 5]);
    const h1 = net.op("Relu", [net.gemm("a", x, [5, 8])]);
    const h2 = net.op("Relu", [net.gemm("b", h1, [8, 8])]);
    const dense = net.output(net.gemm("c", h2, [8, 3]));
    repeatChannels(dense, ["a/kernel", "a/bias"], 1, copies);
    repeatChannels(dense, ["b/kernel", "b/bias"], 1, copies);
    const kept = { "a.neurons": stay, "b.neurons": stay };
    const pruned = prune(dense, planFrom(findSites(dense), { kept }));
    const { graph, report } = await recover(dense, pruned, batches(4, [20, 5]), { ridge: 0 });
    expect(report.layers.map(({ node }) => node)).toEqual(["b", "c"]);
    expect(report.outputErrorBefore).toBeGreaterThan(1e-2);
    expect((await verify(dense, graph, { dims: { batch: 5 } })).maxRelDiff).toBeLessThan(1e-5);
  });
});

/** Weights and bias of a last layer that reads half of 6 filters, after recovery. */
async function recoverWith(last: (net: GraphBuilder, h: Value) => Value): Promise<number[]> {
  const net = new GraphBuilder(5);
  const x = net.input("x", [6, 3, 4, 4]);
  const dense = net.output(last(net, net.op("Relu", [net.conv("first", x, [3, 6], { kernel: [1, 1] })])));
  const pruned = prune(dense, planFrom(findSites(dense), { sparsity: 0.5, sites: ["first.filters"] }));
  const { graph, report } = await recover(dense, pruned, batches(5, [6, 3, 4, 4]));
  expect(report.layers).toMatchObject([{ node: "last", rows: 5 * 6 * 4, taken: true }]);
  return [...numbersOf(graph, "last/kernel"), ...numbersOf(graph, "last/bias")];
}

test("a Conv is fitted as the Gemm of its patches is", async () => {
  const conv = await recoverWith((net, h) =>
    net.conv("last", h, [6, 4], { kernel: [2, 2], strides: [2, 2] }),
  );
  const gemm = await recoverWith((net, h) => {
    // [6, 6, 4, 4] in 2 × 2 patches: [6·2·2, channels·2·2], the same weights from the same seed.
    const blocks = net.transpose(net.reshape(h, [6, 6, 2, 2, 2, 2], "split"), [0, 2, 4, 1, 3, 5]);
    const patches = net.reshape(blocks, [24, 24], "merge");
    return net.gemm("last", patches, [24, 4], { transB: true });
  });
  expect(conv.length).toBe(3 * 4 * 4 + 4);
  gemm.forEach((value, i) => expect(Math.abs(value - conv[i]!)).toBeLessThan(1e-5));
});

const network = fc.record({
  seed: fc.nat(),
  kind: fc.constantFrom("gemm", "matmul", "conv", "mixed"),
  widths: fc.array(fc.integer({ min: 2, max: 10 }), { minLength: 2, maxLength: 3 }),
  sparsity: fc.constantFrom(0.25, 0.5, 0.75),
  ridge: fc.constantFrom(0, 1e-4, 1e-2, 1, 1e3),
  rows: fc.integer({ min: 1, max: 20 }),
});

/** Strided, normalised, depthwise, grouped and residual layers before global pooling. */
function mixedNetwork(width: number, seed: number): Graph {
  const net = new GraphBuilder(seed);
  const pads = [1, 1, 1, 1];
  const stem = net.conv("stem", net.input("x", ["batch", 4, 5, 5]), [4, width], { pads, bias: false });
  const normal = net.op("Relu", [net.batchNorm("bn", stem, width)]);
  const depthwise = net.op("Relu", [
    net.conv("depthwise", normal, [width, 2 * width], { pads, group: width }),
  ]);
  const point = net.conv("point", depthwise, [2 * width, 2 * width], { kernel: [1, 1], group: 2 });
  const inner = net.op("Relu", [net.conv("inner", point, [2 * width, 6], { autoPad: "SAME_LOWER" })]);
  const sum = net.op("Add", [point, net.conv("branch", inner, [6, 2 * width], { pads, dilations: [1, 1] })]);
  const pooled = net.op("Flatten", [net.op("GlobalAveragePool", [net.op("Relu", [sum])])]);
  return net.output(net.gemm("l2", pooled, [2 * width, 3]));
}

function randomNetwork(kind: string, widths: readonly number[], seed: number): Graph {
  if (kind === "mixed") return mixedNetwork(widths[0]!, seed);
  const net = new GraphBuilder(seed);
  let [x, width] = [net.input("x", kind === "conv" ? ["batch", 4, 5, 5] : ["batch", 4]), 4];
  for (const [i, next] of [...widths, 3].entries()) {
    if (i > 0) x = net.op(i % 2 ? "Relu" : "Tanh", [x]);
    if (kind === "conv") x = net.conv(`l${i}`, x, [width, next], { pads: [1, 1, 1, 1], bias: i % 2 === 0 });
    else x = kind === "gemm" ? net.gemm(`l${i}`, x, [width, next]) : net.matmul(`l${i}`, x, [width, next]);
    width = next;
  }
  return net.output(x);
}

test("on the calibration inputs no layer's error grows, and the last layer's is that of the model", async () => {
  let fitted = 0;
  await fc.assert(
    fc.asyncProperty(network, async ({ seed, kind, widths, sparsity, ridge, rows }) => {
      const dense = randomNetwork(kind, widths, seed);
      const pruned = prune(dense, planFrom(findSites(dense), { sparsity, criterion: "random", seed }));
      const shape = kind === "conv" || kind === "mixed" ? [rows, 4, 5, 5] : [rows, 4];
      const { report } = await recover(dense, pruned, batches(2, shape, seed), { ridge });
      for (const { errorBefore, errorAfter } of report.layers) {
        expect(errorAfter).toBeLessThanOrEqual(errorBefore);
      }
      fitted += report.layers.filter(({ taken }) => taken).length;
      expect(report.skipped).toEqual([]);
      const last = report.layers.find(({ node }) => node === (kind === "mixed" ? "l2" : `l${widths.length}`));
      if (!last) return;
      // One comes from the sums, the other from running the written models.
      const difference = Math.abs(last.errorAfter - report.outputErrorAfter);
      expect(difference).toBeLessThan(1e-3 * report.outputErrorAfter + 1e-6);
    }),
    { numRuns: 40 },
  );
  expect(fitted).toBeGreaterThan(40);
}, 120_000);

/** Gemm 5 → 8, Relu, Gemm 8 → 3 with half of the neurons gone. */
function halved() {
  const net = new GraphBuilder(7);
  const hidden = net.op("Relu", [net.gemm("first", net.input("x", ["batch", 5]), [5, 8])]);
  const dense = net.output(net.gemm("second", hidden, [8, 3]));
  return { dense, pruned: prune(dense, planFrom(findSites(dense), { sparsity: 0.5 })) };
}

describe("recover", () => {
  test("a ridge without bound changes nothing", async () => {
    const { dense, pruned } = halved();
    const { graph } = await recover(dense, pruned, batches(2, [20, 5]), { ridge: 1e15 });
    for (const name of ["second/kernel", "second/bias"]) {
      const before = numbersOf(pruned.graph, name);
      numbersOf(graph, name).forEach((value, i) => expect(Math.abs(value - before[i]!)).toBeLessThan(1e-6));
    }
  });

  test("changes neither graph, and nothing but the weights of layers that read removed channels", async () => {
    const { dense, pruned } = halved();
    const [a, b] = [writeModel(dense), writeModel(pruned.graph)];
    const { graph } = await recover(dense, pruned, batches(2, [20, 5]));
    expect(writeModel(dense)).toEqual(a);
    expect(writeModel(pruned.graph)).toEqual(b);
    const changed = graph.initializers.filter(
      ({ name }) => numbersOf(graph, name).join() !== numbersOf(pruned.graph, name).join(),
    );
    expect(changed.map(({ name }) => name).sort()).toEqual(["second/bias", "second/kernel"]);
  });

  test("the same seed gives the same weights, with a sample of the rows too", async () => {
    const { dense, pruned } = halved();
    const weights = async (seed: number): Promise<string> => {
      const { graph, report } = await recover(dense, pruned, batches(3, [20, 5]), { maxRows: 7, seed });
      expect(report.layers[0]!.rows).toBe(21);
      return numbersOf(graph, "second/kernel").join();
    };
    expect(await weights(1)).toBe(await weights(1));
    expect(await weights(1)).not.toBe(await weights(2));
  });

  test("a fit that does worse on held-out inputs is not taken", async () => {
    // y = relu(x₀) + relu(x₁). Where x₁ = 3·x₀, the first neuron alone seems to count four times.
    const net = new GraphBuilder(1);
    const x = net.input("x", ["batch", 2]);
    const eye = net.graph.addInitializer("eye", tensorOf("float32", [2, 2], [1, 0, 0, 1]));
    const ones = net.graph.addInitializer("ones", tensorOf("float32", [2, 1], [1, 1]));
    const hidden = net.op("Relu", [net.op("MatMul", [x, eye], {}, "hidden")]);
    const dense = net.output(net.op("MatMul", [hidden, ones], {}, "sum"));
    const pruned = prune(dense, planFrom(findSites(dense), { kept: { "hidden.neurons": [0] } }));
    const misleading = [{ x: { shape: [3, 2], data: [1, 3, 2, 6, 3, 9] } }];
    const alone = await recover(dense, pruned, misleading, { ridge: 0 });
    expect(numbersOf(alone.graph, "ones")[0]).toBeCloseTo(4, 5);
    const validation = [{ x: { shape: [2, 2], data: [1, 0, 2, 0.1] } }];
    const { graph, report } = await recover(dense, pruned, misleading, { ridge: 0, validation });
    expect(numbersOf(graph, "ones")).toEqual([1]);
    expect(report.layers[0]).toMatchObject({ taken: false, validation: { rows: 2 } });
    expect(report.layers[0]!.notes.join()).toMatch(/does not lower the error/);
    expect(report.validation!.outputErrorAfter).toBe(report.validation!.outputErrorBefore);
    const honest = [{ x: { shape: [2, 2], data: [1, 3, 2, 6.1] } }];
    const taken = await recover(dense, pruned, misleading, { ridge: 0, validation: honest });
    expect(taken.report.layers[0]!.taken).toBe(true);
    expect(taken.report.layers[0]!.validation!.errorAfter).toBeLessThan(1e-3);
  });

  test("outputs that are dead by plan but had to stay are not brought back", async () => {
    const net = new GraphBuilder(8);
    const x = net.input("x", ["batch", 4]);
    const branch = net.matmul("b", net.op("Relu", [net.matmul("a", x, [4, 6])]), [6, 4], false);
    const dense = net.output(net.matmul("c", net.op("Add", [branch, net.matmul("d", x, [4, 4])]), [4, 2]));
    const plan = planFrom(findSites(dense), { kept: { "a.neurons": [0, 1, 2], "b.neurons": [0, 2, 3] } });
    const pruned = prune(dense, plan);
    expect(pruned.report.keptBack[0]).toMatchObject({ site: "b.neurons", groups: [1] });
    const { graph, report } = await recover(dense, pruned, batches(2, [20, 4]), { ridge: 1e-6 });
    expect(report.layers.find(({ node }) => node === "b")!.taken).toBe(true);
    const weights = numbersOf(graph, "b/kernel");
    weights.forEach((value, i) => expect(value === 0).toBe(i % 4 === 1));
  });

  test("features that the pruned model no longer takes are left out of its feeds", async () => {
    const net = new GraphBuilder(9);
    const dense = net.output(net.gemm("only", net.input("x", ["batch", 6]), [6, 3]));
    const plan = planFrom(findSites(dense), { kept: { "only.inputs": [1, 2, 5] } });
    const correlated = batches(3, [20, 6]).map(({ x }) => {
      const data = Float32Array.from(x!.shape![0] === 20 ? (x as { data: Float32Array }).data : []);
      for (let row = 0; row < 20; row++)
        for (let i = 0; i < 3; i++) data[row * 6 + [0, 3, 4][i]!] = 2 * data[row * 6 + [1, 2, 5][i]!]!;
      return { x: { shape: [20, 6], data } };
    });
    for (const inputs of ["gather", "resize"] as const) {
      const pruned = prune(dense, plan, { inputs });
      expect(pruned.graph.requiredInputs[0]!.type!.shape![1]).toBe(inputs === "resize" ? 3 : 6);
      const { report } = await recover(dense, pruned, correlated, { ridge: 0 });
      expect(report.outputErrorBefore).toBeGreaterThan(1e-2);
      expect(report.outputErrorAfter).toBeLessThan(1e-10);
    }
  });

  test("fewer rows than unknowns are said, and the ridge still gives a fit", async () => {
    const { dense, pruned } = halved();
    const { report } = await recover(dense, pruned, batches(1, [3, 5]));
    expect(report.layers[0]).toMatchObject({ rows: 3, taken: true });
    expect(report.layers[0]!.notes.join()).toMatch(/3 rows for 5 unknowns of each output/);
  });

  test("batches without rows are passed over and counted", async () => {
    const { dense, pruned } = halved();
    const [full] = batches(1, [20, 5]);
    const empty = { x: { shape: [0, 5], data: new Float32Array(0) } };
    const { report } = await recover(dense, pruned, [empty, full!]);
    expect(report.layers[0]!.rows).toBe(20);
    expect(report.notes).toEqual(["1 batches without rows were passed over"]);
    await expect(recover(dense, pruned, [empty])).rejects.toMatchObject({ code: "DATA" });
    await expect(recover(dense, pruned, [])).rejects.toMatchObject({ code: "DATA" });
  });

  test("an empty cache beside other inputs is no empty batch", async () => {
    const net = new GraphBuilder(11);
    const [past, x] = [net.input("past", ["past", 5]), net.input("x", ["batch", 5])];
    const hidden = net.op("Relu", [net.gemm("first", net.op("Concat", [past, x], { axis: int(0) }), [5, 8])]);
    const dense = net.output(net.gemm("second", hidden, [8, 3]));
    const pruned = prune(dense, planFrom(findSites(dense), { sparsity: 0.5 }));
    const empty = { shape: [0, 5], data: new Float32Array(0) };
    const first = batches(2, [20, 5]).map((batch) => ({ ...batch, past: empty }));
    const { report } = await recover(dense, pruned, first);
    expect(report.layers[0]).toMatchObject({ rows: 40, taken: true });
    expect(report.notes).toEqual([]);
  });

  test("inputs from a function or an async collection; a generator is refused before anything runs", async () => {
    const { dense, pruned } = halved();
    const all = batches(3, [20, 5]);
    const expected = await recover(dense, pruned, all);
    const generate = function* () {
      yield* all;
    };
    const stream = {
      async *[Symbol.asyncIterator]() {
        yield* all;
      },
    };
    for (const source of [generate, stream]) {
      const { graph } = await recover(dense, pruned, source);
      expect(writeModel(graph)).toEqual(writeModel(expected.graph));
    }
    const error = { code: "OPTION", message: expect.stringContaining("read once only") as unknown };
    await expect(recover(dense, pruned, generate())).rejects.toMatchObject(error);
    let calls = 0;
    const shrinking = (): Batch[] => all.slice(calls++);
    await expect(recover(dense, pruned, shrinking)).rejects.toMatchObject({ code: "DATA" });
  });

  test("NaN in an input names batch and element", async () => {
    const { dense, pruned } = halved();
    const [good, bad] = batches(2, [2, 5]);
    (bad!["x"] as { data: Float32Array }).data[7] = Number.NaN;
    await expect(recover(dense, pruned, [good!, bad!])).rejects.toMatchObject({
      code: "DATA",
      message: expect.stringContaining('element 7 of "x" in batch 1') as unknown,
    });
  });

  test("activations that overflow are left out and counted", async () => {
    const { dense } = halved();
    const kernel = dense.value("first/kernel")!;
    dense.setData(
      kernel,
      tensorOf(
        "float32",
        [5, 8],
        Float32Array.from({ length: 40 }, () => 10),
      ),
    );
    const pruned = prune(dense, planFrom(findSites(dense), { sparsity: 0.5 }));
    const [good, large] = batches(2, [4, 5]);
    (large!["x"] as { data: Float32Array }).data.fill(3e38, 0, 5);
    const { report } = await recover(dense, pruned, [good!, large!]);
    expect(report.layers[0]!.rows).toBe(7);
    expect(report.layers[0]!.notes.join()).toMatch(/1 rows with NaN or infinite/);
  });

  test("stops between batches", async () => {
    const { dense, pruned } = halved();
    const controller = new AbortController();
    const phases: string[] = [];
    const work = recover(dense, pruned, batches(5, [4, 5]), {
      signal: controller.signal,
      onProgress({ phase, batches: done }) {
        phases.push(`${phase} ${done}`);
        if (done === 2) controller.abort();
      },
    });
    await expect(work).rejects.toMatchObject({ code: "ABORTED" });
    expect(phases).toEqual(["collect 1", "collect 2"]);
  });

  test("another model than the one that was pruned is refused", async () => {
    const { pruned } = halved();
    const net = new GraphBuilder(7);
    const hidden = net.op("Relu", [net.gemm("first", net.input("x", ["batch", 5]), [5, 8])]);
    const other = net.output(net.gemm("second", hidden, [8, 4]));
    await expect(recover(other, pruned, batches(1, [4, 5]))).rejects.toMatchObject({ code: "CHECK" });
  });

  test.each([{ ridge: -1 }, { ridge: Number.NaN }, { maxRows: 0 }, { maxRows: 1.5 }])(
    "%o is refused",
    async (options) => {
      const { dense, pruned } = halved();
      await expect(recover(dense, pruned, batches(1, [4, 5]), options)).rejects.toMatchObject({
        code: "OPTION",
      });
    },
  );
});
