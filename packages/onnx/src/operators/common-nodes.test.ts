import { Graph, int, ints, tensor, tensorOf } from "@dgate/onnx";
import { expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { mergeCommonNodes } from "./common-nodes.ts";
import { GraphDiffOps } from "./graph-diff-ops.ts";

test("of two nodes that compute the same, the one with more outputs stays, and outputs of the graph keep their names", () => {
  const b = new GraphBuilder(1, 18);
  const parts = [b.input("x", ["batch", 4]), b.weight("scale", [4])];
  const normed = b.op("LayerNormalization", parts, { axis: int(-1) });
  b.graph.rename(normed, "normed");
  const statistics = b.graph.addNode({
    op: "LayerNormalization",
    inputs: parts,
    outputs: 3,
    attributes: { axis: int(-1) },
  });
  const graph = b.output(normed, b.op("Neg", [statistics.outputs[0]]), statistics.outputs[2]!);
  expect(mergeCommonNodes(graph)).toBe(1);
  graph.sortNodes();
  expect(String(graph)).toMatchInlineSnapshot(`
    "graph "test" (ai.onnx 18)
      input %x: float32[batch, 4]
      const %scale: float32[4]
      %normed, %LayerNormalization_output_1, %LayerNormalization_output_2 = LayerNormalization(%x, %scale) {axis: -1}
      %neg_2_output_0 = Neg(%normed)
      return %normed, %neg_2_output_0, %LayerNormalization_output_2"
  `);
});

test("two outputs of a graph stay two values", () => {
  const b = new GraphBuilder(1, 18);
  const x = b.input("x", [2]);
  const graph = b.output(b.op("Exp", [x]), b.op("Exp", [x]));
  expect(mergeCommonNodes(graph)).toBe(0);
});

test("constants of the same content are the same, random draws are not", () => {
  const graph = new Graph("test", [["", 18]]);
  const add = (op: string, value: number) => {
    const attributes =
      op === "Constant" ? { value: tensor(tensorOf("int64", [1], [value])) } : { shape: ints([1]) };
    graph.addOutput(
      graph.addNode({ op: "Identity", inputs: graph.addNode({ op, inputs: [], attributes }).outputs })
        .outputs[0]!,
    );
  };
  for (const value of [1, 1, 2]) add("Constant", value);
  for (const value of [1, 1]) add("RandomNormal", value);
  expect(mergeCommonNodes(graph)).toBe(1);
});

test("nodes that are added have names of their own, also where a value was given another name", () => {
  const b = new GraphBuilder(1, 18);
  const x = b.input("x", [2]);
  const ops = new GraphDiffOps(b.graph, "new");
  b.graph.rename(ops.exp(x), "y");
  ops.exp(ops.exp(x));
  const names = b.graph.nodes().map(({ name }) => name);
  expect(new Set(names).size).toBe(names.length);
});
