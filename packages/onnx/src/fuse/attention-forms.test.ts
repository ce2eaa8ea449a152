import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { outputDifference, outputsOf } from "../../test/same-outputs.ts";
import { int, ints } from "../graph/attribute.ts";
import type { Graph, Value } from "../graph/graph.ts";
import { tensorOf } from "../io/tensor-data.ts";
import { fuse } from "./fuse.ts";

interface Form {
  readonly heads?: number;
  readonly dim?: number;
  readonly valueDim?: number;
  /** What the scores become before their softmax. */
  readonly scores?: (net: GraphBuilder, scores: Value) => Value;
  readonly weights?: (net: GraphBuilder, weights: Value) => Value;
}

const [batch, time, width] = [2, 3, 5];

/** One attention layer on `x`, whose `heads · dim` is another number than its width; returns weights and output. */
function layer({ heads = 2, dim = 3, valueDim = dim, scores = (_, s) => s, weights = (_, w) => w }: Form) {
  const net = new GraphBuilder(3);
  const x = net.input("x", ["batch", "time", width]);
  const split = (name: string, size: number, perm: readonly number[]): Value => {
    const y = net.op("MatMul", [x, net.weight(`${name}.weight`, [width, heads * size])]);
    const apart = net.op("Reshape", [y, net.integers("sizes", [0, 0, heads, size])]);
    return net.op("Transpose", [apart], { perm: ints(perm) });
  };
  const [q, k, v] = [
    split("q", dim, [0, 2, 1, 3]),
    split("k", dim, [0, 2, 3, 1]),
    split("v", valueDim, [0, 2, 1, 3]),
  ];
  const product = net.op("MatMul", [q, k]);
  const softmax = net.op("Softmax", [scores(net, product)], { axis: int(-1) });
  const context = net.op("MatMul", [weights(net, softmax), v]);
  const turned = net.op("Transpose", [context], { perm: ints([0, 2, 1, 3]) });
  const merged = net.op("Reshape", [turned, net.integers("merged", [0, 0, heads * valueDim])]);
  return {
    net,
    softmax,
    output: net.op("MatMul", [merged, net.weight("o.weight", [heads * valueDim, width])]),
  };
}

const data = Array.from({ length: batch * time * width }, (_, i) => Math.sin(7 * i));
const x = tensorOf("float32", [batch, time, width], data);

async function differenceOf(graph: Graph, feeds = {}) {
  const { graph: fused, report } = fuse(graph);
  const difference = outputDifference(
    await outputsOf(fused, { x, ...feeds }),
    await outputsOf(graph, { x, ...feeds }),
  );
  return { difference, report };
}

const build = (form: Form): Graph => {
  const { net, output } = layer(form);
  return net.output(output);
};

const constant = (net: GraphBuilder, shape: readonly number[], numbers: readonly number[]): Value =>
  net.graph.addInitializer(net.graph.freshName("mask"), tensorOf("float32", shape, numbers));
/** Hides the last key of the first sample and all keys of the second. */
const hidden = (net: GraphBuilder, low: number): Value =>
  constant(net, [batch, 1, 1, time], [0, 0, low, low, low, low]);
const causal = Array.from({ length: time * time }, (_, i) =>
  i % time > Math.floor(i / time) ? -Infinity : 0,
);
const lowest = -3.4028234663852886e38;
const add = (net: GraphBuilder, s: Value, mask: Value) => net.op("Add", [s, mask]);

describe("fused attention computes the same with", () => {
  const forms: Readonly<Record<string, Form>> = {
    "one head": { heads: 1 },
    "many heads": { heads: 7, dim: 2 },
    "values of another size": { valueDim: 4 },
    "a scale before the mask": {
      scores: (net, s) => add(net, net.op("Div", [s, constant(net, [], [1.7])]), hidden(net, -10000)),
    },
    "a scale after the mask": {
      scores: (net, s) => net.op("Mul", [add(net, s, hidden(net, -20)), constant(net, [1], [0.3])]),
    },
    "a sample whose keys are all hidden by the lowest float": {
      scores: (net, s) => add(net, s, hidden(net, lowest)),
    },
    "a sample whose keys are all hidden by -10000": { scores: (net, s) => add(net, s, hidden(net, -10000)) },
    "-Infinity above the diagonal": { scores: (net, s) => add(net, s, constant(net, [time, time], causal)) },
    "a mask of its own for each head": {
      scores: (net, s) => add(net, s, net.weight("bias", [1, 2, time, time])),
    },
    "a mask that is subtracted": { scores: (net, s) => net.op("Sub", [s, net.weight("bias", [time, time])]) },
    "two masks": {
      scores: (net, s) => add(net, add(net, s, net.weight("bias", [2, 1, 1])), hidden(net, lowest)),
    },
    "a filler where keys are hidden": {
      scores: (net, s) => {
        const isHidden = net.op("Less", [hidden(net, -1), constant(net, [], [0])]);
        return net.op("Where", [isHidden, constant(net, [], [lowest]), s]);
      },
    },
    "a filler of -10000 where keys are hidden": {
      scores: (net, s) => {
        const isShown = net.op("Equal", [hidden(net, -1), constant(net, [], [0])]);
        return net.op("Where", [isShown, s, constant(net, [1], [-10000])]);
      },
    },
    "no score below the lowest float": {
      scores: (net, s) => {
        const twice = add(net, add(net, s, hidden(net, lowest)), hidden(net, lowest));
        return net.op("Max", [twice, constant(net, [], [lowest])]);
      },
    },
    "zeros where no key is visible": {
      scores: (net, s) => add(net, s, hidden(net, -Infinity)),
      weights: (net, w) => net.op("Where", [net.op("IsNaN", [w]), constant(net, [], [0]), w]),
    },
  };

  test.each(Object.entries(forms))("%s", async (_, form) => {
    const { difference, report } = await differenceOf(build(form));
    expect(report.skipped).toEqual([]);
    expect(report.fused).toMatchObject([{ op: "com.microsoft.MultiHeadAttention", heads: form.heads ?? 2 }]);
    expect(difference).toBeLessThan(1e-5);
  });
});

const reasonOf = (graph: Graph): string | undefined => {
  const { graph: same, report } = fuse(graph);
  expect(String(same)).toBe(String(graph));
  return report.skipped[0]?.reason;
};

describe("attention stays as it is, with the reason, where", () => {
  test("its weights are an output of the model", () => {
    const { net, softmax, output } = layer({});
    expect(reasonOf(net.output(output, softmax))).toBe("its weights are used more than once");
  });

  test("its scores are an output of the model", () => {
    let scores: Value | undefined;
    const { net, output } = layer({
      scores: (_, s) => {
        scores = s;
        return s;
      },
    });
    expect(reasonOf(net.output(output, scores!))).toMatch(
      /read elsewhere: "matmul_\d+.*" comes to an output/,
    );
  });

  test("its mask puts a small number in the place of scores", () => {
    const graph = build({
      scores: (net, s) => {
        const shown = net.op("Equal", [net.integers("shown", [1, 0, 1]), net.integers("one", [1])]);
        const fill = net.graph.addInitializer("fill", tensorOf("float32", [], [-100]));
        return net.op("Where", [shown, s, fill]);
      },
    });
    expect(reasonOf(graph)).toMatch(/puts -100 in the place of scores/);
  });

  test("its mask is computed from its scores", () => {
    const graph = build({ scores: (net, s) => net.op("Add", [s, net.op("Sigmoid", [s])]) });
    expect(reasonOf(graph)).toBe("its mask is computed from its scores");
  });

  test("its scores go through an operator that no fused one has", () => {
    expect(reasonOf(build({ scores: (net, s) => net.op("Clip", [s]) }))).toBe("its scores go through Clip");
  });
});
