import { describe, expect, test } from "vitest";
import { type CheckOptions, checkVjp } from "../../../test/check-vjp.ts";
import { GraphBuilder } from "../../../test/graph-builder.ts";
import { type Attribute, float, int, string } from "../../graph/attribute.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { tensorOf } from "../../io/tensor-data.ts";
import { vjps } from "./rules.ts";

/** A small network around one operator. */
interface Sample extends CheckOptions {
  readonly build: (net: GraphBuilder) => Value | readonly Value[];
  readonly opset?: number;
}

const x = (net: GraphBuilder, shape: readonly (number | string)[] = [3, 4]): Value => net.input("x", shape);

const unary = (
  op: string,
  attributes: Record<string, Attribute> = {},
  more: Partial<Sample> = {},
): Sample => ({
  build: (net) => net.op(op, [x(net)], attributes),
  ...more,
});
const inUnit = { draw: (normal: number) => Math.tanh(normal) * 0.9 };
const positive = { draw: (normal: number) => 0.5 + Math.abs(normal) };
const aboveOne = { draw: (normal: number) => 1.2 + Math.abs(normal) };

/** Pairs of shapes that broadcast in all ways. */
const pairs = [
  [
    [3, 4],
    [3, 4],
  ],
  [[3, 4], [4]],
  [
    [1, 4],
    [3, 1],
  ],
  [
    [2, 1, 4],
    [3, 4],
  ],
  [
    ["batch", 4],
    ["batch", 4],
  ],
  [["batch", 4], [1]],
  [
    ["batch", 3, 4],
    ["batch", 1, 4],
  ],
  // Which of two names is stretched shows at the run.
  [
    ["n", 4],
    ["one", 4],
  ],
  [
    ["one", 4],
    ["n", 4],
  ],
] as const;

const binary = (
  op: string,
  attributes: Record<string, Attribute> = {},
  more: Partial<Sample> = {},
): Sample[] =>
  pairs.map(([a, b]) => ({
    build: (net) => net.op(op, [net.input("a", a), net.input("b", b)], attributes),
    dims: { one: 1 },
    ...more,
  }));

const integers = (net: GraphBuilder, shape: readonly number[], values: readonly number[]): Value =>
  net.graph.addInitializer(net.graph.freshName("indices"), tensorOf("int64", shape, values));
const scalar = (net: GraphBuilder, value: number): Value =>
  net.graph.addInitializer(net.graph.freshName("scalar"), tensorOf("float32", [], [value]));

const reduced = (op: string, more: Partial<Sample> = {}): Sample[] => {
  const forms: readonly (readonly [axes: readonly number[] | undefined, keep: number])[] = [
    [[1], 1],
    [[1], 0],
    [[0, 2], 0],
    [[-1], 1],
    [undefined, 0],
    [undefined, 1],
  ];
  return [
    ...forms.flatMap(([axes, keep]) =>
      [
        [2, 3, 4],
        ["batch", 3, "n"],
      ].map((shape) => ({
        build: (net: GraphBuilder) =>
          net.op(op, [x(net, shape), ...(axes ? [integers(net, [axes.length], axes)] : [])], {
            keepdims: int(keep),
          }),
        ...more,
      })),
    ),
    {
      build: (net: GraphBuilder) =>
        net.op(op, [x(net), integers(net, [0], [])], { keepdims: int(1), noop_with_empty_axes: int(1) }),
      ...more,
    },
  ];
};

const matmuls = (
  [
    [
      [3, 4],
      [4, 2],
    ],
    [
      [2, 3, 4],
      [4, 2],
    ],
    [
      ["batch", "n", 4],
      [4, 2],
    ],
    [
      [2, 3, 4],
      [2, 4, 2],
    ],
    [
      [5, 2, 3, 4],
      [2, 4, 2],
    ],
    [
      [2, 1, 3, 4],
      [3, 4, 2],
    ],
    [[4], [4, 2]],
    [[3, 4], [4]],
    [[4], [4]],
    [[4], [2, 4, 3]],
    [[2, 3, 4], [4]],
    [
      ["batch", 2, "n", 3],
      ["batch", 2, 3, "n"],
    ],
  ] as const
).map(
  ([a, b]): Sample => ({
    build: (net) => net.op("MatMul", [net.input("a", a), net.input("b", b)]),
    dims: { n: 3 },
  }),
);

const gemms = [0, 1].flatMap((transA) =>
  [0, 1].flatMap((transB) =>
    [[4], [3, 4], [3, 1], []].map(
      (c): Sample => ({
        build: (net) =>
          net.op(
            "Gemm",
            [
              net.input("a", transA ? [2, 3] : [3, 2]),
              net.input("b", transB ? [4, 2] : [2, 4]),
              net.input("c", c),
            ],
            {
              transA: int(transA),
              transB: int(transB),
              alpha: float(0.7),
              beta: float(1.3),
            },
          ),
      }),
    ),
  ),
);

const einsum = (equation: string, ...shapes: readonly (readonly (number | string)[])[]): Sample => ({
  build: (net) =>
    net.op(
      "Einsum",
      shapes.map((shape, i) => net.input(`x${i}`, shape)),
      { equation: string(equation) },
    ),
});

const slice = (
  shape: readonly (number | string)[],
  starts: readonly number[],
  ends: readonly number[],
  axes?: readonly number[],
  steps?: readonly number[],
): Sample => ({
  build: (net) =>
    net.op("Slice", [
      x(net, shape),
      ...[starts, ends, axes, steps].flatMap((list) => (list ? [integers(net, [list.length], list)] : [])),
    ]),
  dims: { n: 5 },
});

const gather = (
  shape: readonly (number | string)[],
  axis: number,
  indices: readonly number[],
  of: readonly number[],
): Sample => ({
  build: (net) => net.op("Gather", [x(net, shape), integers(net, of, indices)], { axis: int(axis) }),
  dims: { n: 5 },
});

const scattered = (op: string, reduction: string): Sample => ({
  build: (net) =>
    net.op(
      op,
      op === "ScatterND"
        ? [x(net, [4, 3]), integers(net, [2, 1], [1, 3]), net.input("u", [2, 3])]
        : [x(net, [4, 3]), integers(net, [2, 3], [1, 0, 3, 2, 1, 0]), net.input("u", [2, 3])],
      reduction === "none" ? {} : { reduction: string(reduction) },
    ),
});

const samples: Readonly<Record<string, readonly Sample[]>> = {
  Abs: [unary("Abs")],
  Acos: [unary("Acos", {}, inUnit)],
  Acosh: [unary("Acosh", {}, aboveOne)],
  Asin: [unary("Asin", {}, inUnit)],
  Asinh: [unary("Asinh")],
  Atan: [unary("Atan")],
  Atanh: [unary("Atanh", {}, inUnit)],
  Celu: [unary("Celu", { alpha: float(0.7) })],
  Clip: [
    { build: (net) => net.op("Clip", [x(net), scalar(net, -0.5), scalar(net, 1)]), wrt: ["x"] },
    { build: (net) => net.op("Clip", [x(net), undefined, scalar(net, 0.3)]), wrt: ["x"] },
  ],
  Cos: [unary("Cos")],
  Cosh: [unary("Cosh")],
  Elu: [unary("Elu", { alpha: float(0.6) })],
  Erf: [unary("Erf")],
  Exp: [unary("Exp")],
  Gelu: [unary("Gelu", {}, { opset: 20 }), unary("Gelu", { approximate: string("tanh") }, { opset: 20 })],
  HardSigmoid: [unary("HardSigmoid", { alpha: float(0.3), beta: float(0.4) })],
  HardSwish: [unary("HardSwish", {}, { draw: (normal) => 3 * normal })],
  Identity: [unary("Identity")],
  LeakyRelu: [unary("LeakyRelu", { alpha: float(0.2) })],
  Log: [unary("Log", {}, positive)],
  Mish: [unary("Mish")],
  Neg: [unary("Neg")],
  Reciprocal: [unary("Reciprocal", {}, positive)],
  Relu: [unary("Relu")],
  Selu: [unary("Selu", { alpha: float(1.2), gamma: float(0.9) })],
  Shrink: [unary("Shrink", { lambd: float(0.4), bias: float(0.2) })],
  Sigmoid: [unary("Sigmoid")],
  Sin: [unary("Sin")],
  Sinh: [unary("Sinh")],
  Softplus: [unary("Softplus")],
  Softsign: [unary("Softsign")],
  Sqrt: [unary("Sqrt", {}, positive)],
  Tan: [unary("Tan", {}, inUnit)],
  Tanh: [unary("Tanh")],
  ThresholdedRelu: [unary("ThresholdedRelu", { alpha: float(0.3) })],
  Cast: [{ build: (net) => net.op("Cast", [net.op("Cast", [x(net)], { to: int(11) })], { to: int(1) }) }],
  Dropout: [unary("Dropout")],
  Add: binary("Add"),
  Sub: binary("Sub"),
  Mul: binary("Mul"),
  Div: binary("Div", {}, positive),
  // Of the last two pairs onnxruntime refuses the run: it takes the declared names for sizes when it plans its memory.
  Pow: binary("Pow", {}, positive).slice(0, -2),
  Mod: [...binary("Mod", { fmod: int(1) }, { draw: (normal) => 0.7 + normal * normal })],
  Max: [...binary("Max"), three("Max")],
  Min: [...binary("Min"), three("Min")],
  Sum: [...binary("Sum"), three("Sum")],
  Mean: [...binary("Mean"), three("Mean")],
  PRelu: [{ build: (net) => net.op("PRelu", [x(net, [2, 3, 4]), net.input("slope", [3, 1])]) }],
  Where: [
    {
      build: (net) =>
        net.op("Where", [
          net.op("Greater", [x(net), scalar(net, 0)]),
          net.input("a", [3, 4]),
          net.input("b", [4]),
        ]),
    },
  ],
  MatMul: matmuls,
  Gemm: gemms,
  Einsum: [
    einsum("ij,jk->ik", [3, 4], [4, 2]),
    einsum("bhqd,bhkd->bhqk", ["batch", 2, 3, 4], ["batch", 2, 5, 4]),
    einsum("bij,jk", [2, 3, 4], [4, 2]),
    einsum("...ij,...jk->...ik", [2, 3, 4], [2, 4, 2]),
    einsum("...ij,jk->...ik", [4, 2, 3], [3, 5]),
    einsum("b...j,...jk->b...k", [2, "heads", 3], ["heads", 3, 5]),
    einsum("ij,ij->j", [2, 3], [1, 3]),
    einsum("i,j->ij", [3], [4]),
    einsum("ij->i", [3, 4]),
    einsum("ij->", [3, 4]),
    einsum("ij,ik,il->jkl", [3, 2], [3, 4], [3, 2]),
    einsum("ij->ji", [3, 4]),
  ],
  ReduceL1: reduced("ReduceL1"),
  ReduceL2: reduced("ReduceL2"),
  ReduceLogSum: reduced("ReduceLogSum", positive),
  ReduceLogSumExp: reduced("ReduceLogSumExp"),
  ReduceMax: reduced("ReduceMax"),
  ReduceMean: reduced("ReduceMean"),
  ReduceMin: reduced("ReduceMin"),
  ReduceProd: reduced("ReduceProd", positive),
  ReduceSum: reduced("ReduceSum"),
  ReduceSumSquare: reduced("ReduceSumSquare"),
  Softmax: [unary("Softmax", { axis: int(-1) }), unary("Softmax", { axis: int(0) })],
  LogSoftmax: [unary("LogSoftmax", { axis: int(-1) }), unary("LogSoftmax", { axis: int(0) })],
  LayerNormalization: [
    layerNorm([2, 3, 4], -1, [4]),
    layerNorm(["batch", "n", 4], 2, [4]),
    layerNorm([2, 3, 4], 1, [3, 4]),
    {
      build: (net) =>
        net.op("LayerNormalization", [x(net), net.weight("scale", [4])], {
          axis: int(-1),
          epsilon: float(1e-3),
        }),
    },
  ],
  BatchNormalization: [
    { build: (net) => net.batchNorm("bn", x(net, ["batch", 3, 4, 5]), 3) },
    { build: (net) => net.batchNorm("bn", x(net, [4, 3]), 3) },
  ],
  Reshape: [
    { build: (net) => net.reshape(x(net), [2, 6]) },
    { build: (net) => net.reshape(x(net, ["batch", "n", 4]), [0, -1, 2]), dims: { n: 3 } },
  ],
  Flatten: [{ build: (net) => net.op("Flatten", [x(net, ["batch", 3, 4])]) }],
  Squeeze: [{ build: (net) => net.op("Squeeze", [x(net, ["batch", 1, 4]), integers(net, [1], [1])]) }],
  Unsqueeze: [{ build: (net) => net.op("Unsqueeze", [x(net, ["batch", 4]), integers(net, [2], [0, 2])]) }],
  Transpose: [
    { build: (net) => net.transpose(x(net, ["batch", 3, 4]), [2, 0, 1]) },
    { build: (net) => net.op("Transpose", [x(net)]) },
  ],
  Concat: [
    {
      build: (net) =>
        net.op("Concat", [x(net), net.input("a", [2, 4]), net.input("b", [1, 4])], { axis: int(0) }),
    },
    { build: (net) => net.op("Concat", [x(net, [3, "n"]), net.input("a", [3, "m"])], { axis: int(-1) }) },
  ],
  Split: [
    { build: (net) => split(net, [3, 4], [1, 3], 1) },
    // The loss depends on the second part alone.
    { build: (net) => split(net, ["batch", 6], [2, 2, 2], -1)[1]! },
  ],
  Slice: [
    slice([4, 5], [1, 0], [3, 4]),
    slice([4, 5], [-3], [-1], [1]),
    slice(["n", 5], [1], [4], [0]),
    slice(["n", 5], [-2], [Number.MAX_SAFE_INTEGER], [0]),
    {
      build: (net) => {
        const bound = (name: string, number: number): Value =>
          net.graph.addInitializer(name, tensorOf("int32", [1], [number]));
        return net.op("Slice", [x(net, ["n", 5]), bound("from", -2), bound("to", 1000), bound("axis", 0)]);
      },
      dims: { n: 5 },
    },
    slice([4, 6], [0], [6], [1], [2]),
    slice([4, 6], [5], [-100], [1], [-2]),
    slice([4, 6], [1, 1], [4, 6], [0, 1], [1, 3]),
    {
      build: (net) =>
        net.op("Slice", [
          x(net, [4, 5]),
          net.input("from", [1], "int64"),
          net.input("to", [1], "int64"),
          integers(net, [1], [1]),
        ]),
      feeds: { from: [1], to: [3] },
    },
  ],
  Expand: [
    { build: (net) => net.op("Expand", [x(net, [3, 1]), integers(net, [3], [2, 3, 4])]) },
    {
      build: (net) => net.op("Expand", [x(net, [4]), net.input("sizes", [2], "int64")]),
      feeds: { sizes: [3, 4] },
    },
    // Neither the rank nor the sizes of the result are known.
    {
      build: (net) => net.op("Expand", [x(net, ["one", 4]), net.input("sizes", ["rank"], "int64")]),
      dims: { rank: 3, one: 1 },
      feeds: { sizes: [2, 3, 4] },
    },
  ],
  Tile: [
    { build: (net) => net.op("Tile", [x(net), integers(net, [2], [2, 3])]) },
    {
      build: (net) => net.op("Tile", [x(net, ["batch", 4]), net.input("repeats", [2], "int64")]),
      feeds: { repeats: [1, 3] },
    },
  ],
  CumSum: [
    { build: (net) => net.op("CumSum", [x(net), integers(net, [], [1])]) },
    {
      build: (net) =>
        net.op("CumSum", [x(net), integers(net, [], [0])], { exclusive: int(1), reverse: int(1) }),
    },
  ],
  Trilu: [
    { build: (net) => net.op("Trilu", [x(net, [4, 4])], { upper: int(0) }) },
    { build: (net) => net.op("Trilu", [x(net, [2, 4, 4]), integers(net, [], [1])]) },
  ],
  Gather: [
    gather([5, 3], 0, [1, 3, 1, 0], [2, 2]),
    gather([5, 3], 0, [2], []),
    gather([5, 3], 1, [-1, 0], [2]),
    gather([5, 3], 0, [1, 2, 3], [3]),
    gather(["n", 3], 0, [1, 4], [2]),
    gather([2, "n", 3], 1, [0], []),
    {
      build: (net) => net.op("Gather", [x(net, [6, 3]), net.input("ids", ["batch", 4], "int64")]),
      feeds: { ids: [0, 5, 2, 5, 1, 1, 1, 3] },
    },
  ],
  GatherElements: [
    {
      build: (net) =>
        net.op("GatherElements", [x(net, [4, 3]), integers(net, [2, 3], [1, 0, 3, 1, 2, 0])], {
          axis: int(0),
        }),
    },
  ],
  GatherND: [
    { build: (net) => net.op("GatherND", [x(net, [4, 3, 2]), integers(net, [3, 2], [0, 1, 3, 2, 0, 1])]) },
  ],
  ScatterElements: [scattered("ScatterElements", "none"), scattered("ScatterElements", "add")],
  ScatterND: [scattered("ScatterND", "none"), scattered("ScatterND", "add")],
};

function three(op: string): Sample {
  return {
    build: (net) => net.op(op, [net.input("a", [3, 4]), net.input("b", [4]), net.input("c", [3, 1])]),
  };
}

function layerNorm(shape: readonly (number | string)[], axis: number, width: readonly number[]): Sample {
  return {
    build: (net) =>
      net.op(
        "LayerNormalization",
        [x(net, shape), net.weight("scale", width, 0.3, 1), net.weight("bias", width)],
        {
          axis: int(axis),
        },
      ),
    dims: { n: 3 },
  };
}

function split(
  net: GraphBuilder,
  shape: readonly (number | string)[],
  sizes: readonly number[],
  axis: number,
): Value[] {
  const node = net.graph.addNode({
    op: "Split",
    inputs: [x(net, shape), net.integers("sizes", sizes)],
    outputs: sizes.length,
    attributes: { axis: int(axis) },
    name: "split",
  });
  return node.outputs.map((value) => value!);
}

const graphOf = ({ build, opset = 18 }: Sample): Graph => {
  const net = new GraphBuilder(3, opset);
  return net.output(...[build(net)].flat());
};

describe("the derivative of an operator is that of central differences, and its nodes compute it", () => {
  const cases = Object.entries(samples).flatMap(([op, list]) => list.map((sample, i) => ({ op, i, sample })));

  test.each(cases)("$op, form $i", async ({ sample }) => {
    const { float64, emitted } = await checkVjp(graphOf(sample), sample);
    expect(float64).toBeLessThan(1e-7);
    expect(emitted).toBeLessThan(2e-5);
  });

  test("of an output without a rule: refused, naming the node", async () => {
    const net = new GraphBuilder(3, 18);
    const node = net.graph.addNode({
      op: "LayerNormalization",
      inputs: [x(net), net.weight("scale", [4])],
      outputs: 2,
      name: "norm",
    });
    await expect(checkVjp(net.output(...node.outputs.map((value) => value!)))).rejects.toMatchObject({
      code: "UNSUPPORTED",
      message: expect.stringContaining('output 1 of LayerNormalization "norm" (domain "ai.onnx")'),
    });
  });

  test("every rule has a sample", () => {
    // Of images: image-rules.test.ts.
    const elsewhere = [
      "Conv",
      "ConvTranspose",
      "MaxPool",
      "AveragePool",
      "Resize",
      "DepthToSpace",
      "SpaceToDepth",
      "Pad",
    ];
    expect(Object.keys(vjps).filter((op) => !samples[op] && !elsewhere.includes(op))).toEqual([]);
  });
});
