import { DgateError } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { type Field, message, node } from "../../test/hand-made-model.ts";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { float } from "../graph/attribute.ts";
import type { Graph, NodeInit, Value } from "../graph/graph.ts";
import { readModel } from "../io/read.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { writeModel } from "../io/write.ts";
import { findSites } from "../sites/find-sites.ts";
import { verify } from "../verify/verify.ts";
import { inlineFunctions } from "./inline-functions.ts";
import { mask } from "../prune/mask.ts";
import { planFrom } from "../plan/plan-from.ts";
import { prune } from "../prune/prune.ts";

const opset = (domain: string, version: number): Field => [
  9,
  [
    [1, domain],
    [2, version],
  ],
];

/** An attribute `alpha` that stands for the one of the call of the name `of`. */
const reference = (of: string): Field => [
  5,
  [
    [1, "alpha"],
    [20, 1],
    [21, of],
  ],
];

/** A FunctionProto as a field of the model. */
function functionField(name: string, inputs: string[], outputs: string[], ...rest: Field[]): Uint8Array {
  const names = [...inputs.map((each): Field => [4, each]), ...outputs.map((each): Field => [5, each])];
  return message([[25, [[1, name], ...names, [10, "my"], ...rest]]]).finish();
}

/** Field 7: nodes of a function. */
const body = (...nodes: Field[]): Field[] => nodes.map(([, content]): Field => [7, content]);

/** `leaky(x; slope = 0.25) = LeakyRelu(x)`, and `dense(x, w, b; slope) = leaky(Gemm(x, w, b); slope)`. */
const functions = [
  functionField(
    "dense",
    ["x", "w", "b"],
    ["y"],
    [6, "slope"],
    ...body(node("Gemm", ["x", "w", "b"], ["t"], [3, "product"]), [
      1,
      [
        [1, "t"],
        [2, "y"],
        [4, "leaky"],
        [7, "my"],
        [
          5,
          [
            [1, "slope"],
            [20, 1],
            [21, "slope"],
          ],
        ],
      ],
    ]),
    opset("", 17),
    opset("my", 1),
  ),
  functionField(
    "leaky",
    ["x"],
    ["y"],
    [
      11,
      [
        [1, "slope"],
        [20, 1],
        [2, { float: 0.25 }],
      ],
    ],
    ...body(node("LeakyRelu", ["x"], ["y"], reference("slope"))),
    opset("", 17),
  ),
];

interface Net {
  readonly net: GraphBuilder;
  readonly graph: Graph;
  readonly call: (op: string, inputs: Value[], rest?: Partial<NodeInit>) => Value;
}

/** A graph of opset 17 with the functions above, or others. */
function withFunctions(fields: readonly Uint8Array[] = functions): Net {
  const net = new GraphBuilder(4);
  const { graph } = net;
  graph.opsets.set("my", 1);
  graph.info = { ...graph.info, opaque: fields };
  const call: Net["call"] = (op, inputs, rest = {}) =>
    graph.addNode({ op, domain: "my", name: op, inputs, ...rest }).outputs[0]!;
  return { net, graph, call };
}

/** Two layers, the first one by a call. */
function callingModel(attributes: NodeInit["attributes"] = { slope: float(0.5) }): Graph {
  const { net, call } = withFunctions();
  const weights = [net.weight("w", [6, 8]), net.weight("b", [8])];
  const hidden = call("dense", [net.input("x", ["batch", 6]), ...weights], { attributes });
  return net.output(net.gemm("out", hidden, [8, 3]));
}

describe("a model that calls functions of its own", () => {
  test("is the same with the functions' nodes in their place", async () => {
    const graph = callingModel();
    const inlined = inlineFunctions(graph);
    expect(inlined.nodes().map(({ domain, op, name }) => [domain, op, name])).toEqual([
      ["", "Gemm", "dense/product"],
      ["", "LeakyRelu", "dense/leaky/LeakyRelu"],
      ["", "Gemm", "out"],
    ]);
    expect(inlined.nodes()[1]!.attributes.get("alpha")).toMatchObject({ kind: "float", value: 0.5 });
    expect(await verify(graph, inlined, { runtime: "node" })).toMatchObject({ maxAbsDiff: 0 });
    expect(graph.nodes()).toHaveLength(2);
  });

  test("is pruned through them, and masked equals pruned", async () => {
    const graph = callingModel();
    const sites = findSites(graph);
    expect(sites.find(({ name }) => name === "dense/product.neurons")).toMatchObject({
      prunable: true,
      groups: 8,
    });
    const plan = planFrom(sites, { keep: 0.5 });
    const { graph: small } = prune(graph, plan);
    expect(small.value("w")!.data!.shape).toEqual([6, 4]);
    expect(await verify(mask(graph, plan), small, { runtime: "node" })).toMatchObject({ equal: true });
  });

  test("without the attribute takes the function's default", () => {
    const inlined = inlineFunctions(callingModel({}));
    // dense hands on an attribute that it was not given: leaky's default is used.
    expect(inlined.nodes("LeakyRelu")[0]!.attributes.get("alpha")).toMatchObject({ value: 0.25 });
  });

  test("keeps names and types of outputs that pass through or are given twice", async () => {
    const twice = functionField(
      "twice",
      ["x"],
      ["y", "x", "y"],
      ...body(node("Neg", ["x"], ["y"])),
      opset("", 17),
    );
    const { net, graph } = withFunctions([twice]);
    const x = net.input("x", ["batch", 4]);
    const outputs = ["a", "b", "c"].map((name) =>
      graph.addValue(name, { dtype: "float32", shape: ["batch", 4] }),
    );
    graph.addNode({ op: "twice", domain: "my", inputs: [net.op("Relu", [x])], outputs });
    net.output(...outputs);
    const inlined = inlineFunctions(graph);
    expect(inlined.outputs.map(({ name, type }) => [name, type])).toEqual(
      graph.outputs.map(({ name, type }) => [name, type]),
    );
    expect(inlined.nodes("Neg")).toHaveLength(1);
    // onnxruntime takes no such function, called or not; the same by hand is the truth.
    inlined.info = { ...inlined.info, opaque: [] };
    const hand = new GraphBuilder();
    const relu = hand.op("Relu", [hand.input("x", ["batch", 4])]);
    const neg = hand.op("Neg", [relu]);
    hand.output(neg, hand.op("Identity", [relu]), hand.op("Identity", [neg]));
    hand.graph.outputs.forEach((value, i) => hand.graph.rename(value, "abc"[i]!));
    expect(await verify(hand.graph, inlined, { runtime: "node" })).toMatchObject({ maxAbsDiff: 0 });
  });
});

const reasonOf = (...fields: Uint8Array[]): unknown => {
  const { net, call } = withFunctions(fields);
  const hidden = net.gemm("in", net.input("x", ["batch", 6]), [6, 8]);
  const graph = net.output(net.gemm("out", call("f", [hidden]), [8, 3]));
  return findSites(graph).find(({ name }) => name === "in.neurons")!.prunable;
};

describe("a call that stays says why", () => {
  const relu = body(node("Relu", ["x"], ["y"]));

  test.each<[string, Uint8Array[], RegExp]>([
    [
      "another opset",
      [functionField("f", ["x"], ["y"], ...relu, opset("", 13))],
      /version 13 of ai.onnx, not for the model's 17/,
    ],
    ["overloads", [functionField("f", ["x"], ["y"], ...relu, [13, "b"], opset("", 17))], /is overloaded/],
    [
      "a subgraph",
      [
        functionField(
          "f",
          ["x"],
          ["y"],
          ...body(
            node(
              "If",
              ["x"],
              ["y"],
              [
                5,
                [
                  [1, "then_branch"],
                  [20, 5],
                  [6, []],
                ],
              ],
            ),
          ),
        ),
      ],
      /has a subgraph/,
    ],
    [
      "a body that cannot be read",
      [functionField("f", ["x"], ["y"], [7, [[1, "x"]]])],
      /cannot be read \(.*has no operator/,
    ],
  ])("%s", (_, fields, expected) => {
    expect(reasonOf(...fields)).toMatch(/f "f" calls the model's own function "my\.f", which /);
    expect(reasonOf(...fields)).toMatch(expected);
  });
});

const calls = (name: string, called: string, times: number): Uint8Array =>
  functionField(
    name,
    ["x"],
    ["y0"],
    ...body(...Array.from({ length: times }, (_, i) => node(called, ["x"], [`y${i}`], [7, "my"]))),
  );

const code = (...fields: Uint8Array[]): unknown => {
  const { net, call } = withFunctions(fields);
  const graph = net.output(call("f", [net.input("x", ["batch", 6])]));
  try {
    return inlineFunctions(graph).nodes().length;
  } catch (error) {
    return error instanceof DgateError ? error.message : error;
  }
};

describe("hostile functions end with an error, soon", () => {
  test("a function that calls itself, through another one too", () => {
    expect(code(calls("f", "f", 1))).toMatch(/function "my\.f" calls itself/);
    expect(code(calls("f", "g", 1), calls("g", "f", 1))).toMatch(/calls itself \(my\.f → my\.g → my\.f\)/);
  });

  test("functions that grow without bound are replaced up to a bound", () => {
    const names = ["f", "g", "h", "i", "j", "k", "l"];
    const chain = names.map((name, i) => calls(name, names[i + 1] ?? "Relu", 20));
    expect(code(...chain)).toBeLessThan(120_000);
  });

  test("an output that nothing writes, or an input that nothing gives", () => {
    expect(code(functionField("f", ["x"], ["z"]))).toMatch(/reads "z", which nothing in it writes/);
    expect(code(functionField("f", ["x"], ["y"], ...body(node("Relu", ["q"], ["y"]))))).toMatch(/reads "q"/);
  });
});

test("functions, metadata, sparse constants and foreign operators survive reading, pruning and writing", async () => {
  const { net, graph, call } = withFunctions([
    ...functions,
    message([
      [6, "doc of the model"],
      [99, "a later field"],
    ]).finish(),
  ]);
  graph.info = { ...graph.info, metadata: new Map([["author", "somebody"]]) };
  graph.opsets.set("custom", 3);
  const x = net.input("x", ["batch", 6]);
  const hidden = net.op("Relu", [net.gemm("in", x, [6, 8])]);
  const y = net.gemm("out", call("leaky", [hidden]), [8, 3]);
  const sparse = message([
    [
      1,
      [
        [1, 1],
        [2, 1],
        [8, "sparse"],
        [9, new Uint8Array(tensorOf("float32", [1], [2]).bytes)],
      ],
    ],
    [
      2,
      [
        [1, 1],
        [2, 7],
        [9, tensorOf("int64", [1], [1]).bytes],
      ],
    ],
    [3, 3],
  ]).finish();
  const third = graph.addSparseInitializer("sparse", { dtype: "float32", shape: [3] }, sparse);
  const doc = message([[6, "doc of the node"]]).finish();
  const extra = graph.addNode({ op: "Mystery", domain: "custom", name: "mystery", inputs: [x], extra: doc });
  net.output(net.op("Add", [y, third]), extra.outputs[0]!);
  const read = readModel(writeModel(graph));
  const { graph: small } = prune(read, planFrom(findSites(read), { keep: 0.5 }));
  expect(small.value("in/kernel")!.data!.shape).toEqual([6, 4]);
  const written = writeModel(small);
  const again = readModel(written);
  expect(again.info).toEqual(read.info);
  expect(again.opsets.get("custom")).toBe(3);
  expect(again.value("sparse")!.sparse).toEqual(sparse);
  expect(again.nodes("Mystery", "custom")[0]!.extra).toEqual(doc);
  for (const field of graph.info.opaque) expect(Buffer.from(written).includes(Buffer.from(field))).toBe(true);
});
