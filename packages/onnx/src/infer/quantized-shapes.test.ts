import { describe, expect, test } from "vitest";
import { Rewriter } from "../../test/models/quantize.ts";
import { type Attribute, int, ints } from "../graph/attribute.ts";
import { Graph, type Value } from "../graph/graph.ts";
import type { DataType } from "../graph/tensor.ts";
import { elementCount } from "../io/element-types.ts";
import { writeModel } from "../io/write.ts";
import { openRunner } from "../runtime/open-runner.ts";
import { inferShapes } from "./infer-shapes.ts";

/** A node under test, by what it reads besides `x`, whose codes are uint8 where `codes` asks for them. */
interface Case {
  readonly op: string;
  readonly domain?: string;
  readonly shape: readonly number[];
  /** `x`: floats; `codes`: quantized; `ids`: indices; else an own constant `[type, shape]`. */
  readonly inputs: readonly (Operand | undefined)[];
  readonly attributes?: Readonly<Record<string, Attribute>>;
}

type Operand =
  | "x"
  | "codes"
  | "scale"
  | "zero"
  | "ids"
  | readonly [dtype: DataType, shape: readonly number[]];

const microsoft = "com.microsoft";
const x = ["codes", "scale", "zero"] as const;
const matrix = [["int8", [8, 6]], "scale", ["int8", []]] as const;
const kernel = [
  ["int8", [6, 2, 3, 3]],
  ["float32", [6]],
  ["int8", [6]],
] as const;
const image = [2, 4, 7, 7];
const window = { kernel_shape: ints([3, 3]), strides: ints([2, 2]), pads: ints([1, 1, 1, 1]) };

const cases: readonly Case[] = [
  { op: "QuantizeLinear", shape: [2, 8], inputs: ["x", "scale", "zero"] },
  { op: "QuantizeLinear", shape: [2, 8], inputs: ["x", "scale", ["int8", []]] },
  { op: "DequantizeLinear", shape: [2, 8], inputs: [...x] },
  { op: "MatMulInteger", shape: [3, 2, 8], inputs: ["codes", ["int8", [8, 6]]] },
  {
    op: "ConvInteger",
    shape: image,
    inputs: ["codes", ["uint8", [6, 2, 3, 3]], "zero", ["uint8", []]],
    attributes: { ...window, group: int(2) },
  },
  { op: "QLinearMatMul", shape: [3, 2, 8], inputs: [...x, ...matrix, "scale", "zero"] },
  {
    op: "QLinearConv",
    shape: image,
    inputs: [...x, ...kernel, "scale", "zero"],
    attributes: { ...window, group: int(2) },
  },
  {
    op: "QGemm",
    domain: microsoft,
    shape: [2, 8],
    inputs: [...x, ["int8", [6, 8]], "scale", ["int8", []], ["int32", [6]], "scale", "zero"],
    attributes: { transB: int(1) },
  },
  { op: "QGemm", domain: microsoft, shape: [2, 8], inputs: [...x, ...matrix] },
  { op: "DynamicQuantizeMatMul", domain: microsoft, shape: [3, 2, 8], inputs: ["x", ...matrix] },
  {
    op: "MatMulIntegerToFloat",
    domain: microsoft,
    shape: [3, 2, 8],
    inputs: ["codes", ["int8", [8, 6]], "scale", "scale", "zero", ["int8", []]],
  },
  {
    op: "QLinearAdd",
    domain: microsoft,
    shape: [2, 3, 8],
    inputs: [...x, ["uint8", [3, 1]], "scale", "zero", "scale", "zero"],
  },
  { op: "QLinearMul", domain: microsoft, shape: [2, 8], inputs: [...x, ...x, "scale", "zero"] },
  { op: "QLinearSigmoid", domain: microsoft, shape: [2, 8], inputs: [...x, "scale", "zero"] },
  { op: "QLinearLeakyRelu", domain: microsoft, shape: [2, 8], inputs: [...x, "scale", "zero"] },
  {
    op: "QLinearSoftmax",
    domain: microsoft,
    shape: [2, 8],
    inputs: [...x, "scale", "zero"],
    attributes: { axis: int(-1), opset: int(13) },
  },
  { op: "QLinearGlobalAveragePool", domain: microsoft, shape: image, inputs: [...x, "scale", "zero"] },
  {
    op: "QLinearAveragePool",
    domain: microsoft,
    shape: image,
    inputs: [...x, "scale", "zero"],
    attributes: window,
  },
  {
    op: "QLinearConcat",
    domain: microsoft,
    shape: [2, 8],
    inputs: ["scale", "zero", ...x, ["uint8", [2, 5]], "scale", "zero"],
    attributes: { axis: int(1) },
  },
  {
    op: "MatMulNBits",
    domain: microsoft,
    shape: [3, 2, 40],
    inputs: ["x", ["uint8", [6, 3, 8]], ["float32", [18]]],
    attributes: { K: int(40), N: int(6), bits: int(4), block_size: int(16) },
  },
  {
    op: "MatMulBnb4",
    domain: microsoft,
    shape: [3, 2, 32],
    inputs: ["x", ["uint8", [96]], ["float32", [12]]],
    attributes: { K: int(32), N: int(6), block_size: int(16), quant_type: int(1) },
  },
  {
    op: "GatherBlockQuantized",
    domain: microsoft,
    shape: [2],
    inputs: [["int4", [9, 32]], "ids", ["float32", [9, 2]]],
    attributes: { block_size: int(16), quantize_axis: int(1) },
  },
  {
    op: "GatherBlockQuantized",
    domain: microsoft,
    shape: [2],
    inputs: [["uint8", [9, 16]], "ids", ["float32", [9, 2]]],
    attributes: { block_size: int(16), quantize_axis: int(1) },
  },
];

function build({ op, domain = "", shape, inputs, attributes = {} }: Case): Graph {
  const to = new Rewriter(new Graph("case", [["", 21]]));
  const ids = inputs.includes("ids");
  const input = to.graph.addInput("x", {
    dtype: ids ? "int64" : "float32",
    shape: ["batch", ...shape.slice(1)],
  });
  const [scale, zero] = [to.scalar("scale", "float32", 0.1), to.scalar("zero", "uint8", 128)];
  const codes = ids ? undefined : to.op("QuantizeLinear", [input, scale, zero]);
  const named: Readonly<Record<string, Value | undefined>> = { x: input, ids: input, codes, scale, zero };
  const values = inputs.map((operand, i) => {
    if (operand === undefined || typeof operand === "string") return operand && named[operand];
    const [dtype, own] = operand;
    return to.constant(
      `c${i}`,
      dtype,
      own,
      Array.from({ length: elementCount(own) }, () => 1),
    );
  });
  to.graph.addOutput(to.op(op, values, attributes, "node", domain));
  return to.graph;
}

describe("quantized operators give the type and the shape that onnxruntime gives", () => {
  test.each(cases.map((each) => [`${each.op} ${each.inputs.length}`, each] as const))(
    "%s",
    async (_, each) => {
      const graph = build(each);
      const runner = await openRunner(writeModel(graph), { runtime: "node" });
      const data = Array.from({ length: elementCount(each.shape) }, () => 1);
      const [found] = Object.values(await runner.run({ x: { data, shape: each.shape } }));
      await runner.dispose();
      const inferred = inferShapes(graph, { dims: { batch: each.shape[0]! } }).types.get(graph.outputs[0]!);
      expect(inferred?.shape).toEqual(found!.shape);
      expect(inferred?.dtype).toBe(found!.dtype);
    },
  );

  test("DynamicQuantizeLinear gives codes, a scale and a zero point", () => {
    const to = new Rewriter(new Graph("case", [["", 21]]));
    const input = to.graph.addInput("x", { dtype: "float32", shape: ["batch", 4] });
    const { outputs } = to.graph.addNode({ op: "DynamicQuantizeLinear", inputs: [input], outputs: 3 });
    const { types } = inferShapes(to.graph);
    expect(outputs.map((value) => types.get(value!))).toEqual([
      { dtype: "uint8", shape: ["batch", 4] },
      { dtype: "float32", shape: [] },
      { dtype: "uint8", shape: [] },
    ]);
  });
});
