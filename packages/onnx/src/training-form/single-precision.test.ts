import { fc } from "@dgate/testing";
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "../../test/graph-builder.ts";
import { transformerModels } from "../../test/models/models.ts";
import { feedsOf } from "../../test/models/transformer-model.ts";
import { outputDifference, outputsOf } from "../../test/same-outputs.ts";
import { int, tensor } from "../graph/attribute.ts";
import { checkGraph } from "../graph/check-graph.ts";
import { Graph } from "../graph/graph.ts";
import { type DataType, dataTypes } from "../graph/tensor.ts";
import { inferShapes } from "../infer/infer-shapes.ts";
import { readNumbers, tensorOf } from "../io/tensor-data.ts";
import { toSinglePrecision } from "./single-precision.ts";

const halves = ["float16", "bfloat16"] as const;

const to = (type: DataType) => ({ to: int(dataTypes[type]) });

/** A graph of halves with a weight, a Constant, a ConstantOfShape, Casts both ways and a branch. */
function halfGraph(dtype: (typeof halves)[number], weight: readonly number[]): Graph {
  const graph = new Graph("halves", [["", 18]]);
  const x = graph.addInput("x", { dtype, shape: ["n", weight.length] });
  const condition = graph.addInput("condition", { dtype: "bool", shape: [] });
  const w = graph.addInitializer("w", tensorOf(dtype, [weight.length], weight));
  const node = (op: string, inputs: Parameters<Graph["addNode"]>[0]["inputs"], attributes = {}) =>
    graph.addNode({ op, inputs, attributes }).outputs[0]!;
  const largest = node("Constant", [], { value: tensor(tensorOf(dtype, [], [65504])) });
  const wide = node("Cast", [node("Mul", [x, w])], to("float32"));
  const narrow = node("Cast", [node("Exp", [wide])], to(dtype));
  const low = node("Cast", [node("ConstantOfShape", [node("Shape", [x])])], to(dtype));
  const ones = node("ConstantOfShape", [node("Shape", [x])], { value: tensor(tensorOf(dtype, [1], [1])) });
  const sum = node("Add", [node("Clip", [narrow, undefined, largest]), node("Add", [low, ones])]);
  const branch = (op: string) => {
    const inner = new Graph(op, graph.opsets);
    const one = inner.addInitializer(`${op}.one`, tensorOf(dtype, [], [1]));
    inner.addNode({
      op,
      inputs: [inner.addOuter(sum.name), one],
      outputs: [inner.addValue(`${op}.y`)],
    });
    inner.addOutput(inner.value(`${op}.y`)!);
    return { kind: "graph" as const, value: inner };
  };
  const y = node("If", [condition], { then_branch: branch("Add"), else_branch: branch("Sub") });
  graph.rename(y, "y");
  y.type = { dtype, shape: ["n", weight.length] };
  graph.addOutput(y);
  graph.addOutput(node("Cast", [x], to("float32")));
  return graph;
}

describe("toSinglePrecision", () => {
  test.each(halves)("a graph of %s becomes one of float32 that computes its formula", async (dtype) => {
    const graph = halfGraph(dtype, [0.5, -0.25, 2]);
    expect(toSinglePrecision(graph)).toBeGreaterThan(0);
    checkGraph(graph);
    const x = [1, 2, -1, 0, -4, 0.5];
    const feeds = { x: tensorOf("float32", [2, 3], x), condition: tensorOf("bool", [], [1]) };
    const outputs = await outputsOf(graph, feeds);
    const expected = x.map((number, i) => Math.exp(number * [0.5, -0.25, 2][i % 3]!) + 2);
    expect(outputs["y"]?.dtype).toBe("float32");
    [...(outputs["y"]!.data as Float32Array)].forEach((number, i) =>
      expect(number).toBeCloseTo(expected[i]!, 5),
    );
    const types = [...inferShapes(graph).types.values()].map((type) => type.dtype);
    expect(types.filter((type) => /float(16|64)/.test(type))).toEqual([]);
    expect(toSinglePrecision(graph)).toBe(0);
  });

  test("Casts between halves and float32 are taken out, names stay", () => {
    const graph = halfGraph("float16", [1]);
    toSinglePrecision(graph);
    expect(String(graph)).toMatchInlineSnapshot(`
      "graph "halves" (ai.onnx 18)
        input %x: float32[n, 1]
        input %condition: bool[]
        const %w: float32[1]
        %Constant_output_0 = Constant() {value: float32[]}
        %Mul_output_0 = Mul(%x, %w)
        %Exp_output_0 = Exp(%Mul_output_0)
        %Shape_output_0 = Shape(%x)
        %ConstantOfShape_output_0 = ConstantOfShape(%Shape_output_0)
        %Shape_output_0_3 = Shape(%x)
        %ConstantOfShape_output_0_4 = ConstantOfShape(%Shape_output_0_3) {value: float32[1]}
        %Clip_output_0 = Clip(%Exp_output_0, _, %Constant_output_0)
        %Add_output_0 = Add(%ConstantOfShape_output_0, %ConstantOfShape_output_0_4)
        %Add_output_0_5 = Add(%Clip_output_0, %Add_output_0)
        %y: float32[n, 1] = If(%condition) {then_branch: {
          graph "Add" (ai.onnx 18)
            outer %Add_output_0_5
            const %Add.one: float32[]
            %Add.y = Add(%Add_output_0_5, %Add.one)
            return %Add.y
        }, else_branch: {
          graph "Sub" (ai.onnx 18)
            outer %Add_output_0_5
            const %Sub.one: float32[]
            %Sub.y = Sub(%Add_output_0_5, %Sub.one)
            return %Sub.y
        }}
        %Cast_output_0_6 = Cast(%x) {to: 1}
        return %y, %Cast_output_0_6"
    `);
  });

  test("numbers stay what they are", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...halves),
        fc.array(fc.float({ noNaN: true }), { minLength: 1 }),
        (dtype, w) => {
          const graph = halfGraph(dtype, w);
          const before = [...readNumbers(graph.value("w")!.data!)];
          toSinglePrecision(graph);
          const after = graph.value("w")!.data!;
          expect(after.dtype).toBe("float32");
          expect([...readNumbers(after)]).toEqual(before);
        },
      ),
    );
  });

  test("a graph without halves stays as it is, float64 too", () => {
    const b = new GraphBuilder();
    b.graph.addInitializer("double", tensorOf("float64", [1], [0.1]));
    const graph = b.output(b.matmul("fc", b.input("x", [1, 2]), [2, 3]));
    const before = String(graph);
    expect(toSinglePrecision(graph)).toBe(0);
    expect(String(graph)).toBe(before);
  });

  test.each(transformerModels.filter(({ name }) => /^(BERT|GPT-2|ViT|Llama merged)$/.test(name)))(
    "$name with its weights in halves becomes itself with rounded weights",
    async ({ build }) => {
      const model = build();
      const rounded = build();
      for (const graph of [model.graph, rounded.graph]) {
        for (const value of graph.initializers) {
          if (value.data!.dtype !== "float32") continue;
          const half = tensorOf("float16", value.data!.shape, readNumbers(value.data!));
          // In one graph halves, in the other their numbers.
          const data = graph === model.graph ? half : tensorOf("float32", half.shape, readNumbers(half));
          graph.setData(value, data);
        }
      }
      toSinglePrecision(model.graph);
      const feeds = feedsOf(model, 1);
      const expected = await outputsOf(rounded.graph, feeds);
      expect(outputDifference(await outputsOf(model.graph, feeds), expected)).toBe(0);
    },
  );

  test("refuses a sparse initializer of halves", () => {
    const graph = new Graph("g", [["", 18]]);
    graph.addSparseInitializer("s", { dtype: "float16", shape: [4] }, new Uint8Array(0));
    expect(() => toSinglePrecision(graph)).toThrow(
      'graph "g": the sparse initializer "s" is float16; store it as float32.',
    );
  });
});
