import { arrayOps, defineGroups, type NdArray, ndArray, penaltyGap, smoothPenalty } from "@dgate/core";
import { tolerances } from "@dgate/testing";
import { expect, test } from "vitest";
import { network, networkNames, stored } from "../../test/gated-networks.ts";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { randomFeeds } from "../../test/random-feeds.ts";
import { checkGraph } from "../graph/check-graph.ts";
import { ints, tensor } from "../graph/attribute.ts";
import { Graph, type Value } from "../graph/graph.ts";
import { readModel } from "../io/read.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { openRunner } from "../runtime/open-runner.ts";
import { numbersOf } from "../runtime/run-tensor.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { foldGates } from "./fold-gates.ts";
import { graphOps } from "./graph-ops.ts";
import { type GateOptions, insertGates } from "./insert-gates.ts";
import { readGates } from "./read-gates.ts";

const gate = (graph: Graph, options?: GateOptions): Graph => insertGates(graph, findSites(graph), options);

/** Random gates for all inputs that have them. */
function someGates(graph: Graph): Record<string, number[]> {
  const feeds: Record<string, number[]> = {};
  for (const { names, product } of readGates(graph).values()) {
    names.forEach((name, d) => {
      feeds[name] = Array.from(product, (_, j) => Math.fround(0.4 + ((7 * j + 3 * d) % 5) / 4));
    });
  }
  return feeds;
}

/** What `run` throws, or its result. */
function refusal(run: () => unknown): unknown {
  try {
    return run();
  } catch (error) {
    return error;
  }
}

/** The constants of initializers, as core has them. */
function arrays(values: readonly Value[]): NdArray[] {
  return values.map(({ data }) => ndArray(Float64Array.from(readNumbers(data!)), data!.shape));
}

/** The first output of a model on random inputs, with gates if they are given. */
async function outputOf(
  graph: Graph,
  gates: Readonly<Record<string, number[]>> = {},
  runtime: "node" | "web" = "node",
): Promise<ArrayLike<number>> {
  const runner = await openRunner(writeModel(graph), { runtime });
  try {
    const feeds = randomFeeds(graph, 5, () => 2);
    const fed = Object.fromEntries(Object.entries(gates).map(([name, data]) => [name, { data }]));
    return numbersOf(Object.values(await runner.run({ ...feeds, ...fed }))[0]!);
  } finally {
    await runner.dispose();
  }
}

test("a small gated graph as text", () => {
  const net = new GraphBuilder();
  const hidden = net.op("Relu", [net.gemm("fc1", net.input("x", ["batch", 4]), [4, 6], { transB: true })]);
  const graph = gate(net.output(net.gemm("fc2", hidden, [6, 2])), { depth: 3 });
  expect(String(graph)).toMatchInlineSnapshot(`
    "graph "test" (ai.onnx 17)
      input %x: float32[batch, 4]
      input %fc1.neurons.gate.1: float32[6]
      input %fc1.neurons.gate.2: float32[6]
      const %fc1/kernel: float32[6, 4]
      const %fc1/bias: float32[6]
      const %fc2/kernel: float32[6, 2]
      const %fc2/bias: float32[2]
      const %fc1.neurons.gate.1: float32[6]
      const %fc1.neurons.gate.2: float32[6]
      const %fc1.neurons.gate/constant: int64[2]
      %fc1.neurons.gate/Mul: float32[6] = Mul(%fc1.neurons.gate.1, %fc1.neurons.gate.2)
      %fc1.neurons.gate/Reshape: float32[6, 1] = Reshape(%fc1.neurons.gate/Mul, %fc1.neurons.gate/constant)
      %fc1.neurons.gate/Mul_1: float32[6, 4] = Mul(%fc1/kernel, %fc1.neurons.gate/Reshape)
      %fc1_output_0 = Gemm(%x, %fc1.neurons.gate/Mul_1, %fc1/bias) {transB: 1}
      %relu_1_output_0 = Relu(%fc1_output_0)
      %fc2_output_0 = Gemm(%relu_1_output_0, %fc2/kernel, %fc2/bias)
      return %fc2_output_0"
  `);
  checkGraph(graph);
});

for (const runtime of ["node", "web"] as const) {
  test.each(networkNames)(`gated %s computes what it did, in onnxruntime-${runtime}`, async (name) => {
    const dense = network(name);
    for (const initial of ["ones", "balanced"] as const) {
      for (const depth of [2, 4]) {
        const found = await verify(dense, gate(dense, { depth, initial }), { runtime });
        expect(found.maxRelDiff).toBeLessThan(3e-6);
      }
    }
  });

  test.each(networkNames)(
    `other gates of %s, fed to onnxruntime-${runtime}, give what folding them gives`,
    async (name) => {
      const gated = gate(network(name), { depth: 3 });
      const gates = someGates(gated);
      expect(Object.keys(gates).length).toBeGreaterThan(1);
      const fed = await outputOf(gated, gates, runtime);
      const { graph: folded } = foldGates(gated, { gates });
      expect(fed).toBeAllClose(await outputOf(folded, {}, runtime), "float32");
      // They do something.
      expect(Array.from(fed)).not.toEqual(Array.from(await outputOf(gated, {}, runtime)));
    },
  );
}

test.each(networkNames)("balanced gates of %s close the gap between the penalties", (name) => {
  const ops = arrayOps("float64");
  const gated = gate(network(name), { depth: 3, initial: "balanced" });
  for (const { set, gates } of readGates(gated).values()) {
    const primary = set.members.map((member) => {
      return ndArray(Float64Array.from(readNumbers(gated.value(member.name)!.data!)), member.shape);
    });
    const factors = { primary, gates: gates.map((each) => ndArray(each, [set.groups])) };
    const gap = penaltyGap(ops, set, factors, 1).data[0]!;
    expect(Math.abs(gap)).toBeLessThan(1e-6);
    const open = {
      primary,
      gates: gates.map((each) =>
        ndArray(
          each.map((g) => 2 * g),
          [set.groups],
        ),
      ),
    };
    expect(penaltyGap(ops, set, open, 1).data[0]).toBeGreaterThan(0.1);
  }
});

test.each(networkNames)(
  "the penalty of the gates of %s, computed by nodes of the model, is that of core",
  async (name) => {
    const gated = gate(network(name, 1, 13), { depth: 3 });
    const ops = graphOps(gated);
    const float64 = arrayOps("float64");
    for (const { set, names } of new Set(readGates(gated).values())) {
      const sized = defineGroups(set.members, { weights: "sqrt-size" });
      const values = (all: readonly string[]): Value[] => all.map((each) => gated.value(each)!);
      const factors = { primary: values(set.members.map((member) => member.name)), gates: values(names) };
      const plain = { primary: arrays(factors.primary), gates: arrays(factors.gates) };
      const penalty = smoothPenalty(ops, sized, factors, 0.3);
      const model = gated.clone();
      model.addOutput(model.value(penalty.name)!);
      const runner = await openRunner(writeModel(model));
      const results = await runner.run(randomFeeds(gated, 5, () => 2));
      await runner.dispose();
      const expected = smoothPenalty(float64, sized, plain, 0.3).data;
      expect(numbersOf(results[penalty.name]!)).toBeAllClose(expected, "float32");
    }
  },
);

test("balanced gates of a group of zeros are one, so that it can learn", async () => {
  const net = new GraphBuilder();
  const w = net.graph.addInitializer("w", tensorOf("float32", [2, 3], [3, 0, 1, 4, 0, 2]));
  const hidden = net.op("MatMul", [net.input("x", ["batch", 2]), w], {}, "fc");
  const dense = net.output(net.gemm("head", hidden, [3, 2]));
  const gated = gate(dense, { initial: "balanced" });
  const { gates } = readGates(gated).get("fc.neurons")!;
  expect(gates[0]).toBeAllClose([Math.sqrt(5), 1, 5 ** 0.25], "float32");
  expect((await verify(dense, gated)).maxRelDiff).toBeLessThan(1e-6);
});

test.each([7, 11, 13, 18])("models of opset %i are gated", async (opset) => {
  const dense = network("cnn", 1, opset);
  const gated = gate(dense, { depth: 3, roles: { filters: ["parameter"] } });
  expect((await verify(dense, gated)).maxRelDiff).toBeLessThan(1e-6);
  const gates = someGates(gated);
  expect(await outputOf(gated, gates)).toBeAllClose(
    await outputOf(foldGates(gated, { gates }).graph),
    "float32",
  );
});

test("a model of IR 3, which lists its initializers as inputs, has only gates as optional inputs afterwards", async () => {
  const dense = network("mlp");
  dense.info = { ...dense.info, irVersion: 3 };
  for (const value of dense.initializers) dense.declareInput(value);
  const gated = gate(dense);
  expect(gated.info.irVersion).toBe(4);
  expect(gated.inputs.map(({ name }) => name)).toEqual(["x", "fc1.neurons.gate.1", "mid.neurons.gate.1"]);
  expect(dense.inputs.length).toBe(7);
  expect((await verify(dense, readModel(writeModel(gated)))).equal).toBe(true);
  expect(foldGates(gated).graph.inputs.map(({ name }) => name)).toEqual(["x"]);
});

test("weights in Constant nodes and transposed weights are gated where they are stored in the end", async () => {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 2]);
  const data = tensorOf("float32", [3, 2], [1, 2, 3, 4, 5, 6]);
  const turned = net.op(
    "Transpose",
    [net.op("Constant", [], { value: tensor(data) })],
    { perm: ints([1, 0]) },
    "turn",
  );
  const hidden = net.op("MatMul", [x, turned], {}, "fc");
  const dense = net.output(net.gemm("head", net.op("Relu", [hidden]), [3, 2]));
  const gated = gate(dense, { initial: "balanced" });
  expect(
    readGates(gated)
      .get("fc.neurons")!
      .set.members.map(({ name, shape }) => [name, shape]),
  ).toEqual([[turned.name, [2, 3]]]);
  expect((await verify(dense, gated)).equal).toBe(true);
  expect(String(foldGates(gated).graph)).toBe(String(stored(dense)));
});

test("a tied weight has one gate, and all its uses go through it", async () => {
  const net = new GraphBuilder();
  const x = net.input("x", ["batch", 6]);
  const first = net.op("Relu", [net.matmul("fc", x, [6, 6], false)]);
  const second = net.op("Tanh", [net.op("MatMul", [first, net.graph.value("fc/kernel")!], {}, "again")]);
  const dense = net.output(net.gemm("head", second, [6, 2]));
  const gated = gate(dense, { initial: "balanced" });
  expect([...readGates(gated).keys()]).toEqual(["fc.neurons"]);
  expect(gated.uses(gated.value("fc/kernel")!).length).toBe(1);
  expect((await verify(dense, gated)).maxRelDiff).toBeLessThan(1e-6);
  const gates = someGates(gated);
  expect(await outputOf(gated, gates)).toBeAllClose(
    await outputOf(foldGates(gated, { gates }).graph),
    "float32",
  );
});

test("sites on the same channels share their gates, named after the first", () => {
  const gated = gate(network("residual"));
  const gates = readGates(gated);
  expect([...gates.keys()]).toEqual(["a.neurons", "b.neurons"]);
  expect(gates.get("b.neurons")).toBe(gates.get("a.neurons"));
  expect(gates.get("b.neurons")).toMatchObject({
    names: ["a.neurons.gate.1"],
    sites: ["a.neurons", "b.neurons"],
    set: {
      groups: 6,
      members: [{ name: "a/kernel" }, { name: "b/kernel" }],
      sizes: Array<number>(6).fill(11),
    },
  });
});

test("heads are V columns and O rows as one group; roles add queries, keys and biases", () => {
  const dense = network("attention");
  const members = (options: GateOptions): string[] => {
    return readGates(gate(dense, { sites: ["heads"], ...options }))
      .get("attn.heads")!
      .set.members.map(
        ({ name, layout }) => `${name} ${layout.kind}${"axis" in layout ? ` ${layout.axis}` : ""}`,
      );
  };
  expect(members({})).toEqual(["v/kernel blocks 1", "o/kernel blocks 0"]);
  expect(members({ roles: { heads: [] } })).toEqual(["v/kernel blocks 1"]);
  expect(members({ roles: { heads: ["producer", "consumer", "parameter"] } }).toSorted()).toEqual([
    "k/bias blocks 0",
    "k/kernel blocks 1",
    "o/kernel blocks 0",
    "q/bias blocks 0",
    "q/kernel blocks 1",
    "v/bias blocks 0",
    "v/kernel blocks 1",
  ]);
});

test("a weight in two sites passes through the gates of both", async () => {
  const dense = network("mlp");
  const gated = gate(dense, { sites: ["inputs", "neurons"], depth: 3 });
  expect([...readGates(gated).keys()]).toEqual(["fc1.inputs", "fc1.neurons", "mid.neurons"]);
  expect((await verify(dense, gated)).maxRelDiff).toBeLessThan(1e-6);
  const gates = someGates(gated);
  const folded = foldGates(readModel(writeModel(gated)), { gates }).graph;
  expect(await outputOf(gated, gates)).toBeAllClose(await outputOf(folded), "float32");
  const [before, after] = [dense, folded].map((graph) => readNumbers(graph.value("fc1/kernel")!.data!));
  const of = (site: string, j: number): number => gates[`${site}.gate.1`]![j]! * gates[`${site}.gate.2`]![j]!;
  expect(after!).toBeAllClose(
    Float64Array.from(before!, (w, i) => w * of("fc1.inputs", Math.floor(i / 7)) * of("fc1.neurons", i % 7)),
    "float32",
  );
});

test("float16 weights have float16 gates", async () => {
  const net = new Graph("half", [["", 17]]);
  const x = net.addInput("x", { dtype: "float16", shape: ["batch", 2] });
  const w = net.addInitializer("w", tensorOf("float16", [2, 3], [1, 2, 3, 4, 5, 6]));
  const v = net.addInitializer("v", tensorOf("float16", [3, 2], [1, 0, -1, 0.5, 2, 1]));
  const hidden = net.addNode({ op: "MatMul", name: "fc", inputs: [x, w] }).outputs[0];
  net.addOutput(net.addNode({ op: "MatMul", name: "head", inputs: [hidden, v] }).outputs[0]!);
  const gated = gate(net, { depth: 3, initial: "balanced" });
  expect(gated.value("fc.neurons.gate.2")!.type).toEqual({ dtype: "float16", shape: [3] });
  expect((await verify(net, gated, { runtime: "web", tolerance: tolerances.float16.relative })).equal).toBe(
    true,
  );
  const { graph: folded } = foldGates(gate(net));
  expect(folded.value("w")!.data).toEqual(net.value("w")!.data);
});

test("what cannot be gated is refused with the way out", () => {
  const dense = network("mlp");
  const sites = findSites(dense);
  const cases: [() => unknown, string, RegExp][] = [
    [
      () => insertGates(dense, sites, { depth: 1 }),
      "OPTION",
      /depth is 1, expected a whole number of at least 2/,
    ],
    [() => insertGates(dense, sites, { depth: 2.5 }), "OPTION", /depth is 2.5/],
    [() => insertGates(dense, sites, { sites: ["nothing"] }), "NO_MATCH", /"nothing"/],
    [
      () => insertGates(dense, sites, { sites: ["fc2.neurons"] }),
      "UNSUPPORTED",
      /cannot be pruned: .* output of the model/,
    ],
    [() => insertGates(network("cnn"), sites), "GROUP", /Take the sites of this model/],
    [() => insertGates(gate(dense), sites), "UNSUPPORTED", /gated already; take its gates out first/],
  ];
  for (const [run, code, message] of cases) {
    expect(refusal(run)).toMatchObject({ code, message: expect.stringMatching(message) });
  }
});

test("a quantized weight is refused: gates come before quantization", () => {
  const dense = network("mlp");
  const w = dense.value("fc1/kernel")!;
  const [site] = findSites(dense).filter(({ name }) => name === "fc1.neurons");
  const whole = Array.from(readNumbers(w.data!), Math.round);
  dense.setData(w, tensorOf("int8", w.data!.shape, whole));
  const own = { ...site!, fingerprint: findSites(dense)[0]!.fingerprint };
  expect(() => insertGates(dense, [own])).toThrow(/"fc1\/kernel" is int8, .* quantize after that/);
});

/** x·w·own·v, where only `own` lies in the branch. */
function branch(name: string): Graph {
  const body = new Graph(name);
  const x = body.addOuter("x");
  const hidden = body.addNode({ op: "MatMul", name: "fc", inputs: [x, body.addOuter("w")] }).outputs[0];
  const own = body.addInitializer(
    "own",
    tensorOf(
      "float32",
      [3, 4],
      Array.from({ length: 12 }, (_, i) => i - 5),
    ),
  );
  const wide = body.addNode({ op: "MatMul", name: "up", inputs: [hidden, own] }).outputs[0];
  body.addOutput(
    body.addNode({ op: "MatMul", name: "head", inputs: [wide, body.addOuter("v")] }).outputs[0]!,
  );
  return body;
}

test("a weight inside a branch of an If is refused, one that branches share is not", async () => {
  const net = new GraphBuilder();
  net.input("x", ["batch", 2]);
  net.weight("w", [2, 3]);
  net.weight("v", [4, 2]);
  const condition = net.graph.addInput("first", { dtype: "bool", shape: [] });
  const attributes = {
    then_branch: { kind: "graph" as const, value: branch("then") },
    else_branch: { kind: "graph" as const, value: branch("else") },
  };
  const dense = net.output(net.op("If", [condition], attributes, "choice"));
  const sites = findSites(dense);
  const names = sites.flatMap(({ name, tensor: weight }) => (weight === "w" ? [name] : []));
  const gated = insertGates(dense, sites, { sites: names.slice(-1), initial: "balanced" });
  expect((await verify(dense, gated)).maxRelDiff).toBeLessThan(1e-6);
  expect(String(foldGates(gate(dense, { sites: names.slice(-1) })).graph)).toBe(String(stored(dense)));
  const inside = sites.find(({ tensor: weight, prunable }) => weight.includes("own") && prunable === true);
  expect(() => insertGates(dense, sites, { sites: [inside!.name] })).toThrow(
    /has the weight "choice.then\/own", which lies inside a branch of an If/,
  );
});
