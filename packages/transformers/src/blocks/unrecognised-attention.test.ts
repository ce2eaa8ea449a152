import { Graph, int, ints, tensorOf, type Value } from "@dgate/onnx";
import { expect, test } from "vitest";
import { findBlocks } from "./find-blocks.ts";
import { unrecognisedAttention } from "./unrecognised-attention.ts";

/** softmax over something that is no product of computed values, times a value: no attention that can be followed. */
function oddAttention(): Graph {
  const graph = new Graph("odd");
  const x = graph.addInput("x", { dtype: "float32", shape: ["batch", "tokens", 8] });
  const op = (name: string, inputs: readonly Value[], attributes = {}): Value =>
    graph.addNode({ op: name, name: `odd/${name}`, inputs, attributes }).outputs[0]!;
  const w = graph.addInitializer(
    "w",
    tensorOf(
      "float32",
      [8, 8],
      Array.from({ length: 64 }, (_, i) => Math.sin(i)),
    ),
  );
  const scores = op("Tanh", [op("Relu", [op("MatMul", [x, w])])]);
  const weights = op("Softmax", [scores], { axis: int(-1) });
  const context = op("MatMul", [op("Transpose", [weights], { perm: ints([0, 2, 1]) }), x]);
  graph.addOutput(op("Sigmoid", [context]));
  return graph;
}

test("an attention that is not recognised names the operators around its Softmax", () => {
  const found = unrecognisedAttention(oddAttention(), []);
  expect(found.map(({ name }) => name)).toEqual(["odd/Softmax"]);
  expect(found[0]!.reason).toContain("MatMul → Relu → Tanh → Softmax → Transpose → MatMul → Sigmoid");
  expect(findBlocks(oddAttention(), "model").findings).toContainEqual({
    file: "model",
    name: "odd/Softmax",
    group: "heads",
    gated: expect.stringContaining("Softmax → Transpose"),
    detail: "Softmax",
  });
});

test("the Softmax of a classifier is no attention", () => {
  const graph = new Graph("classifier");
  const x = graph.addInput("x", { dtype: "float32", shape: ["batch", 8] });
  const w = graph.addInitializer("w", tensorOf("float32", [8, 3], new Float32Array(24).fill(1)));
  const logits = graph.addNode({ op: "MatMul", inputs: [x, w] }).outputs[0]!;
  graph.addOutput(
    graph.addNode({ op: "Softmax", inputs: [logits], attributes: { axis: int(-1) } }).outputs[0]!,
  );
  expect(unrecognisedAttention(graph, [])).toEqual([]);
});

test("a layer that was found is not told again", () => {
  const layer = { name: "odd", form: "MatMul", heads: 1, kvHeads: 1, headDim: 8, prunable: true } as const;
  expect(unrecognisedAttention(oddAttention(), [layer])).toEqual([]);
});
