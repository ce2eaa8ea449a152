import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { transformerModels } from "../../test/models/models.ts";
import { feedsOf } from "../../test/models/transformer-model.ts";
import { randomFeeds } from "../../test/random-feeds.ts";
import { outputDifference, outputsOf } from "../../test/same-outputs.ts";
import { type Attribute, int, ints, string } from "../graph/attribute.ts";
import { checkGraph } from "../graph/check-graph.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { dataTypes } from "../graph/tensor.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { raisePatterns } from "./raise-patterns.ts";
import { upgradeOpset } from "./upgrade-opset.ts";

type Write = (b: GraphBuilder, x: Value) => Value;

const scalar = (b: GraphBuilder, value: number, shape: readonly number[] = []): Value =>
  b.graph.addInitializer(b.graph.freshName("scalar"), tensorOf("float32", shape, [value]));
const cast = (b: GraphBuilder, x: Value): Value => b.op("Cast", [x], { to: int(dataTypes.float32) });
const mean = (b: GraphBuilder, x: Value, axes = [-1]): Value =>
  b.op("ReduceMean", [x, b.integers("axes", axes)]);
const centre = (b: GraphBuilder, x: Value): Value => b.op("Sub", [x, mean(b, x)]);
const sumUnder = (b: GraphBuilder, c: Value): Value =>
  b.op("Add", [mean(b, b.op("Pow", [c, scalar(b, 2)])), scalar(b, 1e-5)]);
const normed: Write = (b, x) => {
  const c = centre(b, x);
  return b.op("Div", [c, b.op("Sqrt", [sumUnder(b, c)])]);
};
const affine: Write = (b, x) =>
  b.op("Add", [b.weight("beta", [6]), b.op("Mul", [b.weight("gamma", [6]), x])]);

const erf = (b: GraphBuilder, x: Value): Value =>
  b.op("Add", [b.op("Erf", [b.op("Div", [x, scalar(b, Math.SQRT2)])]), scalar(b, 1)]);
const half = (b: GraphBuilder, x: Value): Value => b.op("Mul", [x, scalar(b, 0.5)]);
const root = Math.sqrt(2 / Math.PI);
const tanhGate = (b: GraphBuilder, inner: Value): Value => b.op("Add", [scalar(b, 1), b.op("Tanh", [inner])]);

const norms: Readonly<Record<string, Write>> = {
  "with γ and β": (b, x) => affine(b, normed(b, x)),
  plain: normed,
  "with γ": (b, x) => b.op("Mul", [normed(b, x), b.weight("gamma", [6])]),
  "with β": (b, x) => b.op("Add", [normed(b, x), b.weight("beta", [6])]),
  "with twins of x − μ": (b, x) =>
    affine(b, b.op("Div", [centre(b, x), b.op("Sqrt", [sumUnder(b, centre(b, x))])])),
  "with c · c": (b, x) => {
    const c = centre(b, x);
    const sum = b.op("Add", [scalar(b, 1e-5, [1]), mean(b, b.op("Mul", [c, c]), [2])]);
    return affine(b, b.op("Div", [c, b.op("Sqrt", [sum])]));
  },
  "with Casts": (b, x) => {
    const c = centre(b, cast(b, x));
    const y = b.op("Div", [c, b.op("Sqrt", [sumUnder(b, cast(b, c))])]);
    return affine(b, cast(b, y));
  },
  "with Reciprocal": (b, x) => {
    const c = centre(b, x);
    return affine(b, b.op("Mul", [b.op("Reciprocal", [b.op("Sqrt", [sumUnder(b, c)])]), c]));
  },
  "with 1 / root and γ first": (b, x) => {
    const c = centre(b, x);
    const inverse = b.op("Div", [scalar(b, 1), b.op("Sqrt", [sumUnder(b, c)])]);
    const factor = b.op("Mul", [inverse, b.weight("gamma", [6])]);
    return b.op("Add", [b.op("Mul", [c, factor]), b.weight("beta", [6])]);
  },
  "with a power of −½": (b, x) => {
    const c = centre(b, x);
    return affine(b, b.op("Mul", [c, b.op("Pow", [sumUnder(b, c), scalar(b, -0.5)])]));
  },
  "as Keras writes it": (b, x) => {
    const mu = mean(b, x);
    const inverse = b.op("Reciprocal", [b.op("Sqrt", [sumUnder(b, b.op("Sub", [x, mu]))])]);
    const factor = b.op("Mul", [inverse, b.weight("gamma", [6])]);
    const shift = b.op("Sub", [b.weight("beta", [6]), b.op("Mul", [mu, factor])]);
    return b.op("Add", [b.op("Mul", [x, factor]), shift]);
  },
};

const gelus: Readonly<Record<string, Write>> = {
  "(x·(1 + erf))·½": (b, x) => half(b, b.op("Mul", [x, erf(b, x)])),
  "(x·½)·(1 + erf)": (b, x) => b.op("Mul", [half(b, x), erf(b, x)]),
  "x·((1 + erf)·½)": (b, x) => b.op("Mul", [x, half(b, erf(b, x))]),
  "x·(½·erf + ½)": (b, x) => {
    const s = b.op("Erf", [b.op("Mul", [scalar(b, Math.SQRT1_2), x])]);
    return b.op("Mul", [b.op("Add", [half(b, s), scalar(b, 0.5)]), x]);
  },
  "x·(1 + erf)/2 with Casts": (b, x) =>
    b.op("Div", [b.op("Mul", [cast(b, x), cast(b, erf(b, x))]), scalar(b, 2)]),
  "of a product": (b, x) => {
    const product = b.op("Mul", [x, b.weight("w", [6])]);
    return half(b, b.op("Mul", [product, erf(b, product)]));
  },
  "tanh with Pow": (b, x) => {
    const cube = b.op("Mul", [scalar(b, 0.044715), b.op("Pow", [x, scalar(b, 3)])]);
    const inner = b.op("Mul", [scalar(b, root), b.op("Add", [x, cube])]);
    return b.op("Mul", [half(b, x), tanhGate(b, inner)]);
  },
  "tanh with x·x·x": (b, x) => {
    const cube = b.op("Mul", [b.op("Mul", [x, b.op("Mul", [x, x])]), scalar(b, 0.044715)]);
    const inner = b.op("Mul", [b.op("Add", [cube, x]), scalar(b, root)]);
    return b.op("Mul", [b.op("Mul", [x, tanhGate(b, inner)]), scalar(b, 0.5)]);
  },
  "tanh with x before the bracket": (b, x) => {
    const square = b.op("Mul", [b.op("Mul", [scalar(b, 0.044715), x]), x]);
    const outer = b.op("Mul", [x, scalar(b, 0.7978845608)]);
    const inner = b.op("Mul", [outer, b.op("Add", [scalar(b, 1), square])]);
    return b.op("Mul", [half(b, x), tanhGate(b, inner)]);
  },
};

const others: Readonly<Record<string, Write>> = {
  "a norm over another axis": (b, x) => {
    const c = b.op("Sub", [x, mean(b, x, [1])]);
    const sum = b.op("Add", [mean(b, b.op("Mul", [c, c]), [1]), scalar(b, 1e-5)]);
    return b.op("Div", [c, b.op("Sqrt", [sum])]);
  },
  "a norm of another centre": (b, x) => b.op("Div", [centre(b, x), b.op("Sqrt", [sumUnder(b, x)])]),
  "a norm whose variance is used twice": (b, x) => {
    const c = centre(b, x);
    const sum = sumUnder(b, c);
    return b.op("Add", [b.op("Div", [c, b.op("Sqrt", [sum])]), sum]);
  },
  "a GELU with another constant": (b, x) => {
    const s = b.op("Erf", [b.op("Div", [x, scalar(b, 1.5)])]);
    return half(b, b.op("Mul", [x, b.op("Add", [s, scalar(b, 1)])]));
  },
  "a GELU of two values": (b, x) => half(b, b.op("Mul", [b.op("Neg", [x]), erf(b, x)])),
  "quick GELU": (b, x) => b.op("Mul", [x, b.op("Sigmoid", [b.op("Mul", [x, scalar(b, 1.702)])])]),
};

const build = (write: Write, opset = 18): Graph => {
  const b = new GraphBuilder(7, opset);
  return b.output(write(b, b.input("x", ["batch", 3, 6])));
};

async function expectSame(graph: Graph, edits: number): Promise<void> {
  const feeds = randomFeeds(graph, 2, () => 4);
  const names = graph.outputs.map(({ name }) => name);
  const expected = await outputsOf(graph, feeds);
  expect(raisePatterns(graph)).toBe(edits);
  checkGraph(graph);
  expect(graph.outputs.map(({ name }) => name)).toEqual(names);
  expect(outputDifference(await outputsOf(graph, feeds), expected)).toBeLessThan(2e-6);
}

/** A branch of an If on the outer value `x`, whose own names start with its name. */
function branch(name: string, write: Write): Attribute {
  const inner = new GraphBuilder(2, 18);
  const output = write(inner, inner.graph.addOuter("x"));
  const own = [...inner.graph.values].filter((value) => value.name !== "x");
  for (const value of own) inner.graph.rename(value, `${name}/${value.name}`);
  inner.graph.addOutput(output);
  return { kind: "graph", value: inner.graph };
}

const opsOf = (graph: Graph): string[] => graph.nodes().map(({ op }) => op);

describe("raisePatterns", () => {
  test.each(Object.entries(norms))("a norm %s becomes LayerNormalization", async (_, write) => {
    const graph = build(write);
    await expectSame(graph, 1);
    expect(opsOf(graph).filter((op) => op !== "Cast")).toEqual(["LayerNormalization"]);
    expect(graph.opsets.get("")).toBe(18);
  });

  test.each(Object.entries(gelus))("GELU as %s becomes Gelu", async (name, write) => {
    const graph = build(write);
    await expectSame(graph, 1);
    const [gelu] = graph.nodes("Gelu");
    expect(gelu?.attributes.get("approximate")).toEqual(string(name.startsWith("tanh") ? "tanh" : "none"));
    expect(opsOf(graph).filter((op) => op !== "Gelu" && op !== "Cast")).toEqual(
      name === "of a product" ? ["Mul"] : [],
    );
    expect(graph.opsets.get("")).toBe(20);
  });

  test.each(Object.entries(others))("%s stays", async (_, write) => {
    const graph = build(write);
    const before = String(graph);
    await expectSame(graph, 0);
    expect(String(graph)).toBe(before);
  });

  test("a normalised value that is used twice, or meets no vector, becomes the bare operator", async () => {
    await expectSame(
      build((b, x) => b.op("Mul", [normed(b, x), b.op("Sigmoid", [x])])),
      1,
    );
    const graph = build((b, x) => {
      const y = normed(b, x);
      return b.op("Add", [b.op("Mul", [y, b.weight("gamma", [6])]), y]);
    });
    await expectSame(graph, 1);
    expect(opsOf(graph).toSorted()).toEqual(["Add", "LayerNormalization", "Mul"]);
  });

  test("an intermediate that is an output of the graph stays", () => {
    const b = new GraphBuilder(1, 18);
    const x = b.input("x", [2, 3, 6]);
    const gate = erf(b, x);
    const graph = b.output(half(b, b.op("Mul", [x, gate])), gate);
    expect(raisePatterns(graph)).toBe(0);
    expect(graph.opsets.get("")).toBe(18);
  });

  test("a graph that opset 20 would change keeps its GELU", () => {
    const graph = build((b, x) => {
      const image = b.op("Unsqueeze", [x, b.integers("axes", [1])]);
      const attributes = { kernel_shape: ints([2, 2]), ceil_mode: int(1), count_include_pad: int(1) };
      return gelus["(x·½)·(1 + erf)"]!(b, b.op("AveragePool", [image], attributes));
    });
    expect(raisePatterns(graph)).toBe(0);
    expect(graph.opsets.get("")).toBe(18);
  });

  test("patterns in a branch are raised too", async () => {
    const b = new GraphBuilder(1, 18);
    const x = b.input("x", [2, 3, 6]);
    const condition = b.graph.addInput("condition", { dtype: "bool", shape: [] });
    const branches = {
      then_branch: branch("then", norms["with γ and β"]!),
      else_branch: branch("else", gelus["tanh with Pow"]!),
    };
    const graph = b.output(b.op("If", [condition], branches), b.op("Relu", [x]));
    await expectSame(graph, 2);
    expect(String(graph)).toMatch(/= LayerNormalization\([^]*= Gelu\(/);
  });

  test("needs opset 18", () => {
    expect(() => raisePatterns(build(normed, 17))).toThrow(
      'raisePatterns: graph "test" has opset 17; bring it to opset 18 with upgradeOpset first.',
    );
  });

  test.each(transformerModels)("$name computes the same", async ({ build: make }) => {
    const model = make();
    const feeds = feedsOf(model, 1);
    const expected = await outputsOf(model.graph, feeds);
    upgradeOpset(model.graph);
    raisePatterns(model.graph);
    checkGraph(model.graph);
    expect(outputDifference(await outputsOf(model.graph, feeds), expected)).toBeLessThan(2e-6);
  });

  test.each(transformerModels.filter(({ name }) => /BERT|GPT-2|ViT/.test(name)))(
    "no part of a norm or of a GELU is left in $name",
    ({ build: make }) => {
      const { graph } = make();
      upgradeOpset(graph);
      expect(raisePatterns(graph)).toBeGreaterThan(0);
      expect(opsOf(graph).filter((op) => ["ReduceMean", "Erf", "Pow"].includes(op))).toEqual([]);
    },
  );
});
