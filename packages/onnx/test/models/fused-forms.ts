import { float, type Graph, int, ints, tensorOf, type Value } from "@dgate/onnx";
import { FusedBuilder, headCount } from "./fused-builder.ts";

/** One form of a fused attention in a model of one layer: projections, attention, output projection, residual. */
export interface AttentionForm {
  readonly name: string;
  readonly heads: number;
  readonly kvHeads: number;
  readonly headDim: number;
  readonly build: (seed?: number) => Graph;
  /** Where random inputs would not fit: sizes that must agree. */
  readonly dims?: Readonly<Record<string, number>>;
}

const heads = 4;
const headDim = 4;
const width = 10;
const channels = heads * headDim;

/** Parts that a form is made of; `attend` gets the input and gives the context and further outputs. */
interface Recipe {
  readonly name: string;
  readonly attend: (net: FusedBuilder, x: Value) => readonly Value[];
  readonly opset?: number;
  readonly heads?: number;
  readonly kvHeads?: number;
  readonly headDim?: number;
  readonly dims?: Readonly<Record<string, number>>;
  /** Width of the context, where V has another head dim. */
  readonly outputSize?: number;
}

function form({ attend, opset = 21, outputSize, ...recipe }: Recipe): AttentionForm {
  const build = (seed = 1): Graph => {
    const net = new FusedBuilder(seed, opset);
    const x = net.input("x", ["batch", "time", width]);
    const [context, ...others] = attend(net, x);
    const inputs = outputSize ?? (recipe.heads ?? heads) * (recipe.headDim ?? headDim);
    const y = net.op("Add", [net.project("output", context!, [inputs, width]), x]);
    return net.output(y, ...others);
  };
  const count = recipe.heads ?? heads;
  return { heads: count, kvHeads: count, headDim, ...recipe, build };
}

/** Packed projection `[width, H·d + H·d + H·dv]` with its bias. */
function packedWeights(net: FusedBuilder, valueDim = headDim): readonly [Value, Value] {
  const columns = heads * (2 * headDim + valueDim);
  return [net.kernel("qkv/kernel", [width, columns]), net.weight("qkv/bias", [columns], 0.5)];
}

const packed = (
  name: string,
  sides: (net: FusedBuilder) => readonly (Value | undefined)[],
  options: {
    outputs?: number;
    attributes?: Record<string, ReturnType<typeof int>>;
    dims?: Record<string, number>;
  } = {},
): AttentionForm => {
  const { outputs = 1, attributes = {}, dims } = options;
  return form({
    name: `Attention, ${name}`,
    ...(dims && { dims }),
    attend: (net, x) =>
      net.fused("Attention", [x, ...packedWeights(net), ...sides(net)], {
        name: "layer/attention",
        outputs,
        attributes: { ...headCount(heads), ...attributes },
      }),
  });
};

/** The cache of com.microsoft.Attention. */
const packedPast = (net: FusedBuilder): Value => net.input("past", [2, "batch", heads, "past_time", headDim]);

const packedForms: readonly AttentionForm[] = [
  packed("plain", () => []),
  packed("causal, own scale", () => [], { attributes: { unidirectional: int(1), scale: float(0.3) } }),
  packed("mask of positions", (net) => [net.int32Input("mask", ["batch", "time"])]),
  packed("mask of pairs", (net) => [net.int32Input("mask", ["batch", "time", "time"])]),
  packed("mask as lengths", (net) => [net.int32Input("mask", ["batch"])]),
  packed(
    "bias of the scores per head",
    (net) => [undefined, undefined, net.weight("bias", [1, heads, 3, 3])],
    {
      dims: { time: 3 },
    },
  ),
  packed(
    "bias of the scores for all heads",
    (net) => [undefined, undefined, net.weight("bias", [1, 1, 3, 3])],
    {
      dims: { time: 3 },
    },
  ),
  packed("caches", (net) => [undefined, packedPast(net)], {
    outputs: 2,
    attributes: { unidirectional: int(1) },
    dims: { past_time: 3 },
  }),
  form({
    name: "Attention, V of another width",
    outputSize: heads * 3,
    attend: (net, x) => {
      return net.fused("Attention", [x, ...packedWeights(net, 3)], {
        name: "layer/attention",
        attributes: {
          ...headCount(heads),
          qkv_hidden_sizes: ints([channels, channels, heads * 3]),
        },
      });
    },
  }),
];

/** Q, K and V of MatMuls, K and V of another sequence. */
function projected(net: FusedBuilder, x: Value, other: Value, valueDim = headDim): readonly Value[] {
  return [
    net.project("q", x, [width, channels]),
    net.project("k", other, [width, channels]),
    net.project("v", other, [width, heads * valueDim]),
  ];
}

const multiHead = (
  name: string,
  sides: (net: FusedBuilder) => readonly (Value | undefined)[],
  options: {
    outputs?: number;
    attributes?: Record<string, ReturnType<typeof int>>;
    dims?: Record<string, number>;
  } = {},
): AttentionForm => {
  const { outputs = 1, attributes = {}, dims } = options;
  return form({
    name: `MultiHeadAttention, ${name}`,
    ...(dims && { dims }),
    attend: (net, x) =>
      net.fused("MultiHeadAttention", [...projected(net, x, x), ...sides(net)], {
        name: "layer/attention",
        outputs,
        attributes: { ...headCount(heads), ...attributes },
      }),
  });
};

const multiHeadForms: readonly AttentionForm[] = [
  multiHead("plain", () => []),
  multiHead("biases in the operator", (net) => [net.weight("qkv/bias", [3 * channels], 0.5)]),
  multiHead("mask of positions", (net) => [undefined, net.int32Input("mask", ["batch", "time"])]),
  multiHead(
    "bias of the scores per head",
    (net) => [undefined, undefined, net.weight("bias", [1, heads, 3, 3])],
    {
      dims: { time: 3 },
    },
  ),
  multiHead(
    "caches",
    (net) => [
      undefined,
      undefined,
      undefined,
      ...["past_key", "past_value"].map((name) => net.input(name, cacheShape)),
    ],
    { outputs: 3, attributes: { unidirectional: int(1) }, dims: { past_time: 3 } },
  ),
  form({
    name: "MultiHeadAttention, V of another width, biases",
    outputSize: heads * 3,
    attend: (net, x) => {
      const bias = net.weight("qkv/bias", [2 * channels + heads * 3], 0.5);
      return net.fused("MultiHeadAttention", [...projected(net, x, x, 3), bias], {
        name: "layer/attention",
        attributes: headCount(heads),
      });
    },
  }),
  form({
    name: "MultiHeadAttention, keys and values of another sequence",
    attend: (net, x) => {
      const other = net.input("other", ["batch", "others", width]);
      return net.fused("MultiHeadAttention", projected(net, x, other), {
        name: "layer/attention",
        attributes: headCount(heads),
      });
    },
  }),
  form({
    name: "MultiHeadAttention, keys and values cached by an encoder",
    dims: { others: 5 },
    attend: (net, x) => {
      const caches = ["keys", "values"].map((name) => net.input(name, ["batch", heads, "others", headDim]));
      return net.fused(
        "MultiHeadAttention",
        [net.project("q", x, [width, channels]), ...caches, net.weight("qkv/bias", [3 * channels], 0.5)],
        { name: "layer/attention", attributes: headCount(heads) },
      );
    },
  }),
  form({
    name: "MultiHeadAttention behind RotaryEmbedding",
    dims: { time: 3 },
    attend: (net, x) => {
      const [q, k, v] = projected(net, x, x);
      const at = net.input("positions", ["batch", "time"], "int64");
      const [cosines, sines] = net.rotaryCaches(8, headDim);
      const [turnedQ] = net.fused("RotaryEmbedding", [q, at, cosines, sines], {
        attributes: headCount(heads),
      });
      const [turnedK] = net.fused("RotaryEmbedding", [k, at, cosines, sines]);
      return net.fused("MultiHeadAttention", [turnedQ, turnedK, v], {
        name: "layer/attention",
        attributes: headCount(heads),
      });
    },
  }),
];

const cacheShape = ["batch", heads, "past_time", headDim] as const;

/** ai.onnx Attention of operator set 23, with `kvHeads` key–value heads. */
const standard = (
  name: string,
  kvHeads: number,
  sides: (net: FusedBuilder) => readonly (Value | undefined)[],
  options: { outputs?: number; apart?: boolean; dims?: Record<string, number>; opset?: number } = {},
): AttentionForm => {
  const { outputs = 1, apart = false, dims, opset = 23 } = options;
  return form({
    name: `ai.onnx Attention, ${name}`,
    opset,
    kvHeads,
    ...(dims && { dims }),
    attend: (net, x) => {
      const sizes = [heads, kvHeads, kvHeads];
      const parts = ["q", "k", "v"].map((part, i) => net.matmul(part, x, [width, sizes[i]! * headDim]));
      const counts = { q_num_heads: int(heads), kv_num_heads: int(kvHeads) };
      const inputs = apart ? parts.map((part, i) => splitHeads(net, part, sizes[i]!)) : parts;
      const [y, ...others] = net.node("Attention", [...inputs, ...sides(net)], {
        name: "layer/attention",
        outputs,
        attributes: apart ? {} : counts,
      });
      return [apart ? joinHeads(net, y!) : y!, ...others];
    },
  });
};

const splitHeads = (net: FusedBuilder, x: Value, count: number): Value =>
  net.transpose(net.reshape(x, [0, 0, count, headDim]), [0, 2, 1, 3]);
const joinHeads = (net: FusedBuilder, x: Value): Value =>
  net.reshape(net.transpose(x, [0, 2, 1, 3]), [0, 0, channels]);

const standardForms: readonly AttentionForm[] = [
  standard("heads joined", heads, () => []),
  standard("heads apart", heads, () => [], { apart: true }),
  standard("two key–value heads", 2, () => []),
  standard("two key–value heads, apart", 2, () => [], { apart: true }),
  standard("one key–value head", 1, () => []),
  standard("mask per head", heads, (net) => [net.weight("mask", [heads, 3, 3])], { dims: { time: 3 } }),
  standard("mask of pairs", heads, (net) => [net.weight("mask", [3, 3])], { dims: { time: 3 } }),
  standard(
    "caches",
    2,
    (net) => [
      undefined,
      ...["past_key", "past_value"].map((name) => net.input(name, ["batch", 2, "past_time", headDim])),
    ],
    { outputs: 3, dims: { past_time: 3 } },
  ),
];

const groupedForm = (
  name: string,
  kvHeads: number,
  {
    queries = 4,
    isPacked = false,
    sides = [],
  }: { queries?: number; isPacked?: boolean; sides?: readonly string[] } = {},
): AttentionForm => {
  const dim = 8;
  return form({
    name: `GroupQueryAttention, ${name}`,
    heads: queries,
    kvHeads,
    headDim: dim,
    dims: { batch: 1, time: 3 },
    attend: (net, x) => {
      const parts = isPacked
        ? [net.matmul("qkv", x, [width, (queries + 2 * kvHeads) * dim]), undefined, undefined]
        : ["q", "k", "v"].map((part, i) => net.matmul(part, x, [width, (i === 0 ? queries : kvHeads) * dim]));
      const lengths = [net.int32("last", [1], [2]), net.int32("total", [1], [3])];
      const bias = sides.includes("bias") ? net.weight("bias", [1, queries, 3, 3]) : undefined;
      const sink = sides.includes("sink") ? net.weight("sink", [queries]) : undefined;
      const inputs = [
        ...parts,
        undefined,
        undefined,
        ...lengths,
        undefined,
        undefined,
        undefined,
        bias,
        sink,
      ];
      return net.fused("GroupQueryAttention", inputs, {
        name: "layer/attention",
        attributes: { num_heads: int(queries), kv_num_heads: int(kvHeads) },
      });
    },
  });
};

const groupedForms: readonly AttentionForm[] = [
  groupedForm("two key–value heads", 2),
  groupedForm("as many key–value heads as queries", 4),
  groupedForm("one key–value head", 1, { queries: 3 }),
  groupedForm("packed", 2, { isPacked: true }),
  groupedForm("packed, one key–value head", 1, { isPacked: true }),
  groupedForm("sinks and biases of the scores", 2, { sides: ["sink", "bias"] }),
];

/** QAttention with an int8 weight of one scale, or of one scale and zero point per column. */
const quantizedForm = (name: string, perColumn: boolean): AttentionForm =>
  form({
    name: `QAttention, ${name}`,
    attend: (net, x) => {
      const columns = 3 * channels;
      const scale = net.graph.addInitializer("x/scale", tensorOf("float32", [], [0.05]));
      const zero = net.graph.addInitializer("x/zero", tensorOf("uint8", [], [120]));
      const weight = tensorOf(
        "int8",
        [width, columns],
        Array.from({ length: width * columns }, (_, i) => ((i * 37) % 201) - 100),
      );
      const scales = perColumn
        ? net.positive("qkv/scale", columns)
        : net.graph.addInitializer("qkv/scale", tensorOf("float32", [], [0.01]));
      const zeros = tensorOf(
        "int8",
        perColumn ? [columns] : [],
        perColumn ? Array.from({ length: columns }, (_, i) => (i % 7) - 3) : [0],
      );
      const quantized = net.op("QuantizeLinear", [x, scale, zero]);
      quantized.type = { dtype: "uint8", shape: ["batch", "time", width] };
      return net.fused(
        "QAttention",
        [
          quantized,
          net.graph.addInitializer("qkv/kernel", weight),
          net.weight("qkv/bias", [columns], 0.5),
          scale,
          scales,
          undefined,
          zero,
          net.graph.addInitializer("qkv/zero", zeros),
        ],
        { name: "layer/attention", attributes: headCount(heads) },
      );
    },
  });

/** Every form of a fused attention that onnxruntime's CPU kernels take. */
export const attentionForms: readonly AttentionForm[] = [
  ...packedForms,
  ...multiHeadForms,
  ...standardForms,
  ...groupedForms,
  quantizedForm("one scale", false),
  quantizedForm("a scale and zero point per column", true),
];
