import { randomGenerator } from "@dgate/core";
import { firstDifference } from "@dgate/testing";
import { expect, test } from "vitest";
import { type Attribute, float, int, ints, string } from "../../src/graph/attribute.ts";
import { Graph } from "../../src/graph/graph.ts";
import type { DataType, Tensor } from "../../src/graph/tensor.ts";
import { tensorOf } from "../../src/io/tensor-data.ts";
import { reduceOps } from "../../src/ops/families.ts";
import { openRunner } from "../../src/runtime/open-runner.ts";
import { constantOf } from "../../src/runtime/run-tensor.ts";
import { evaluateGraph } from "./evaluate-graph.ts";
import { float64Of, sizeOf } from "./tensor.ts";

/** Operators and forms that the backend suite of ONNX 1.12 does not have, or only a few of. */
interface Case {
  readonly op: string;
  readonly attributes?: Readonly<Record<string, Attribute>>;
  readonly inputs: readonly (Tensor | undefined)[];
  readonly outputs?: number;
  readonly opset?: number;
}

const random = randomGenerator(7);

/** Random numbers of a constant's type float32. */
const x = (...shape: number[]): Tensor =>
  tensorOf(
    "float32",
    shape,
    Array.from({ length: sizeOf(shape) }, () => random.normal()),
  );

const integers = (values: readonly number[], shape = [values.length], dtype: DataType = "int64"): Tensor =>
  tensorOf(dtype, shape, values);

const scalar = (value: number, dtype: DataType = "float32"): Tensor => tensorOf(dtype, [], [value]);

const reals = (...values: number[]): Tensor => tensorOf("float32", [values.length], values);

const modes = (name: string, values: readonly string[]): Record<string, Attribute>[] =>
  values.map((value) => ({ [name]: string(value) }));

const pooled: readonly Record<string, Attribute>[] = [
  { kernel_shape: ints([3, 2]), strides: ints([2, 2]), pads: ints([1, 0, 1, 1]), ceil_mode: int(1) },
  { kernel_shape: ints([2, 2]), dilations: ints([2, 3]), strides: ints([2, 1]) },
  { kernel_shape: ints([3, 3]), strides: ints([2, 2]), auto_pad: string("SAME_LOWER") },
  { kernel_shape: ints([3, 3]), strides: ints([2, 3]), auto_pad: string("SAME_UPPER") },
];

const transposedForms: readonly Record<string, Attribute>[] = [
  { strides: ints([2, 3]), pads: ints([1, 0, 0, 1]), output_padding: ints([1, 2]), group: int(2) },
  { strides: ints([2, 2]), dilations: ints([2, 1]), group: int(2) },
  { strides: ints([2, 2]), output_shape: ints([8, 10]), group: int(2) },
  { strides: ints([2, 2]), auto_pad: string("SAME_UPPER"), group: int(2) },
  { strides: ints([2, 2]), auto_pad: string("SAME_LOWER"), group: int(2) },
  { strides: ints([3, 3]), auto_pad: string("SAME_UPPER"), group: int(2) },
];

const nearestModes = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"];
const tieModes = ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"];
const coordinateModes = [...tieModes, "half_pixel_symmetric"];

const resizes: readonly Case[] = [
  ...modes("nearest_mode", nearestModes).flatMap((nearest) =>
    // Those that give ties the same in float32, where onnxruntime computes coordinates.
    modes("coordinate_transformation_mode", tieModes).map((coordinate) => ({
      op: "Resize",
      attributes: { ...nearest, ...coordinate },
      inputs: [x(1, 2, 5, 4), undefined, undefined, integers([1, 2, 3, 7])],
    })),
  ),
  ...modes("coordinate_transformation_mode", coordinateModes).flatMap((coordinate) =>
    modes("mode", ["linear", "cubic"]).map((mode) => ({
      op: "Resize",
      attributes: { ...mode, ...coordinate },
      inputs: [x(1, 2, 5, 4), undefined, reals(1, 1, 1.7, 0.6)],
    })),
  ),
  {
    op: "Resize",
    attributes: { mode: string("linear"), axes: ints([2, 3]) },
    inputs: [x(1, 2, 5, 4), undefined, undefined, integers([3, 7])],
  },
  ...modes("keep_aspect_ratio_policy", ["not_larger", "not_smaller"]).map((policy) => ({
    op: "Resize",
    attributes: { ...policy, mode: string("linear"), axes: ints([2, 3]) },
    inputs: [x(1, 2, 5, 4), undefined, undefined, integers([8, 7])],
  })),
];

const scatters: readonly Case[] = ["none", "add", "mul", "max", "min"].flatMap((reduction) => [
  {
    op: "ScatterElements",
    attributes: { axis: int(1), reduction: string(reduction) },
    inputs: [x(2, 5), integers([1, -1, 0, 3, 2, 0], [2, 3]), x(2, 3)],
  },
  {
    op: "ScatterND",
    attributes: { reduction: string(reduction) },
    inputs: [x(3, 4, 2), integers([0, 1, 2, 3], [2, 2]), x(2, 2)],
  },
]);

const normalisations: readonly Case[] = [
  {
    op: "GroupNormalization",
    attributes: { num_groups: int(2), epsilon: float(1e-3) },
    inputs: [x(2, 4, 3, 2), x(4), x(4)],
    opset: 21,
  },
  {
    op: "GroupNormalization",
    attributes: { num_groups: int(2) },
    inputs: [x(2, 4, 3, 2), x(2), x(2)],
    opset: 18,
  },
  {
    op: "LayerNormalization",
    attributes: { axis: int(1) },
    inputs: [x(2, 3, 4), x(3, 4), x(3, 4)],
    outputs: 3,
  },
  { op: "RMSNormalization", attributes: { axis: int(-1) }, inputs: [x(2, 3, 4), x(4)], opset: 23 },
  { op: "SimplifiedLayerNormalization", inputs: [x(2, 3, 4), x(4)], outputs: 2 },
  { op: "LpNormalization", attributes: { axis: int(1), p: int(1) }, inputs: [x(2, 3, 4)] },
  { op: "LpNormalization", attributes: { axis: int(0) }, inputs: [x(2, 3, 4)] },
  { op: "LRN", attributes: { size: int(5), alpha: float(0.3) }, inputs: [x(2, 6, 3, 2)] },
];

const cases: readonly Case[] = [
  ...resizes,
  ...scatters,
  ...normalisations,
  ...transposedForms.map((attributes) => ({
    op: "ConvTranspose",
    attributes,
    inputs: [x(2, 4, 4, 5), x(4, 3, 2, 3), x(6)],
  })),
  ...pooled.flatMap((attributes): Case[] => [
    { op: "MaxPool", attributes, inputs: [x(2, 3, 7, 6)], outputs: 2 },
    { op: "LpPool", attributes: { ...attributes, p: int(3) }, inputs: [x(2, 3, 7, 6)], opset: 18 },
    { op: "AveragePool", attributes, inputs: [x(2, 3, 7, 6)] },
    {
      op: "AveragePool",
      attributes: { ...attributes, count_include_pad: int(1) },
      inputs: [x(2, 3, 7, 6)],
    },
  ]),
  {
    op: "MaxPool",
    attributes: { kernel_shape: ints([2, 2]), storage_order: int(1) },
    inputs: [x(1, 2, 4, 5)],
    outputs: 2,
  },
  { op: "GlobalLpPool", attributes: { p: int(3) }, inputs: [x(2, 3, 4, 5)] },
  { op: "Conv", attributes: { group: int(2), dilations: ints([2]) }, inputs: [x(2, 4, 9), x(6, 2, 3), x(6)] },
  {
    op: "Conv",
    attributes: { group: int(4), strides: ints([2, 1]), auto_pad: string("SAME_UPPER") },
    inputs: [x(2, 4, 7, 6), x(4, 1, 3, 2)],
  },
  {
    op: "Conv",
    attributes: { strides: ints([1, 2, 1]), pads: ints([1, 0, 1, 0, 2, 1]) },
    inputs: [x(1, 2, 4, 5, 3), x(3, 2, 2, 3, 2)],
  },
  ...["none", "tanh"].map((approximate) => ({
    op: "Gelu",
    attributes: { approximate: string(approximate) },
    inputs: [x(20)],
  })),
  { op: "Mish", inputs: [x(20)] },
  { op: "PRelu", inputs: [x(2, 3, 4), x(3, 1)] },
  { op: "Split", attributes: { axis: int(1), num_outputs: int(3) }, inputs: [x(2, 7)], outputs: 3 },
  ...["reflect", "edge", "wrap", "constant"].map((mode) => ({
    op: "Pad",
    attributes: { mode: string(mode) },
    inputs: [x(2, 4, 5), integers([2, 1, 3, 2]), scalar(0.5), integers([-1, 1])],
  })),
  { op: "Pad", inputs: [x(4, 5), integers([-1, 2, 0, -2]), scalar(0.5)] },
  { op: "Einsum", attributes: { equation: string("bij,bkj,k->bi") }, inputs: [x(2, 3, 4), x(2, 5, 4), x(5)] },
  { op: "Einsum", attributes: { equation: string("...ij,jk") }, inputs: [x(2, 3, 4), x(4, 5)] },
  { op: "Einsum", attributes: { equation: string("b...i,...ij->b...j") }, inputs: [x(2, 3, 4), x(3, 4, 5)] },
  { op: "Einsum", attributes: { equation: string("ii->i") }, inputs: [x(3, 3)] },
  { op: "Einsum", attributes: { equation: string("ij,k->j") }, inputs: [x(3, 2), x(4)] },
  {
    op: "GatherND",
    attributes: { batch_dims: int(1) },
    inputs: [x(2, 3, 4), integers([0, -1, 2, 0], [2, 2, 1])],
  },
  { op: "GatherElements", attributes: { axis: int(-1) }, inputs: [x(2, 3), integers([2, -1, 0, 1], [2, 2])] },
  {
    op: "OneHot",
    attributes: { axis: int(0) },
    inputs: [integers([1, -1, 5]), scalar(4, "int64"), reals(-1, 2)],
  },
  { op: "TopK", attributes: { axis: int(1) }, inputs: [x(2, 5, 3), integers([3])], outputs: 2 },
  { op: "Trilu", attributes: { upper: int(0) }, inputs: [x(2, 3, 4), scalar(-1, "int64")] },
  { op: "Cast", attributes: { to: int(6) }, inputs: [reals(-1.7, 1.7, 2.5)] },
  { op: "Cast", attributes: { to: int(9) }, inputs: [reals(-0.3, 0, 2)] },
  { op: "Div", inputs: [integers([-7, 7, 6]), integers([2, -2, 3])] },
  { op: "Mod", inputs: [integers([-7, 7, 6]), integers([3, -3, 3])] },
  { op: "Mod", attributes: { fmod: int(1) }, inputs: [reals(-7.5, 7.5), reals(2, -2)] },
  { op: "Celu", attributes: { alpha: float(2) }, inputs: [x(9)] },
  { op: "ReduceMax", attributes: { keepdims: int(0) }, inputs: [x(2, 3, 4), integers([0, -1])] },
  { op: "ReduceLogSumExp", inputs: [x(2, 3, 4), integers([1])] },
  ...reduceOps.map((op) => ({
    op,
    attributes: { noop_with_empty_axes: int(1) },
    inputs: [reals(0.5, 2, 3), integers([])],
  })),
  { op: "MeanVarianceNormalization", attributes: { axes: ints([0, 1]) }, inputs: [x(3, 4, 2)] },
  { op: "CumSum", attributes: { reverse: int(1), exclusive: int(1) }, inputs: [x(2, 4), scalar(1, "int64")] },
  { op: "MatMul", inputs: [x(4), x(2, 4, 3)] },
  { op: "MatMul", inputs: [x(2, 3, 4), x(4)] },
  {
    op: "Slice",
    inputs: [x(5, 6), integers([-1, 4]), integers([-9, 0]), integers([0, 1]), integers([-2, -1])],
  },
];

/** What differs between this evaluator and onnxruntime for one node, `undefined` if nothing. */
async function difference({
  op,
  attributes = {},
  inputs,
  outputs = 1,
  opset = 20,
}: Case): Promise<string | undefined> {
  const graph = new Graph("case", [["", opset]]);
  const values = inputs.map(
    (data, i) => data && graph.addInput(`x${i}`, { dtype: data.dtype, shape: data.shape }),
  );
  const node = graph.addNode({ op, inputs: values, outputs, attributes });
  for (const output of node.outputs) if (output) graph.addOutput(output);
  const given = inputs.flatMap((data, i) => (data ? [[`x${i}`, data] as const] : []));
  const got = evaluateGraph(graph, Object.fromEntries(given.map(([name, data]) => [name, float64Of(data)])));
  const runner = await openRunner(graph, { session: { logSeverityLevel: 4 } });
  const wanted = await runner.run(Object.fromEntries(given));
  await runner.dispose();
  for (const output of graph.outputs) {
    const here = got.get(output)!;
    const there = float64Of(constantOf(wanted[output.name]!));
    if (here.dtype !== there.dtype || String(here.shape) !== String(there.shape))
      return `${here.dtype}[${here.shape.join(", ")}], onnxruntime ${there.dtype}[${there.shape.join(", ")}]`;
    const at = firstDifference(here.data, there.data, { absolute: 1e-5, relative: 1e-4 });
    if (at >= 0) return `number ${at} is ${here.data[at]}, onnxruntime ${there.data[at]}`;
  }
  return undefined;
}

test("operators that the backend suite lacks compute what onnxruntime does", async () => {
  const wrong: string[] = [];
  for (const each of cases) {
    const problem = await difference(each).catch((error: unknown) => String(error));
    const attributes = Object.entries(each.attributes ?? {}).map(([name, attribute]) =>
      "value" in attribute ? `${name}=${JSON.stringify(attribute.value)}` : name,
    );
    if (problem) wrong.push(`${each.op} ${attributes.join(" ")}: ${problem}`);
  }
  expect(wrong).toEqual([]);
}, 120_000);
