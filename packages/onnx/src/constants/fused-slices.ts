import { floatAttribute, stringAttribute } from "../ops/attributes.ts";
import { attentionSizes, groupedSizes, multiHeadSizes, packedWidths } from "../infer/fused-shapes.ts";
import { erf } from "../ops/scalar-functions.ts";
import type { Dim } from "../graph/graph.ts";
import { contractionConstants } from "./contraction-constants.ts";
import type { SliceConstants, SliceContext } from "./slice-context.ts";
import { broadcastSlices, type SliceRule } from "./slice-rules.ts";

const varying = (size: number): SliceConstants => new Float64Array(size).fill(Number.NaN);

const gelu = (x: number): number => 0.5 * x * (1 + erf(x / Math.SQRT2));
const geluTanh = (x: number): number =>
  0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));

/** Slices of input 0 plus those of the others, each broadcast; a missing input adds nothing. */
function sumOf(context: SliceContext, axis: number): SliceConstants | undefined {
  const size = context.outputSize(axis);
  if (size === undefined) return undefined;
  return context.node.inputs
    .map((value, i) => (value ? (broadcastSlices(context, i, axis, size) ?? varying(size)) : undefined))
    .filter((slices) => slices !== undefined)
    .reduce((a, b) => a.map((x, i) => x + b[i]!));
}

/** f(x + bias). */
const biased =
  (f: (x: number) => number): SliceRule =>
  (context, axis) =>
    sumOf(context, axis)?.map(f);

const quickGelu: SliceRule = (context, axis) => {
  const alpha = floatAttribute(context.node, "alpha", 1.702);
  return context.slices(0, axis)?.map((x) => x * sigmoid(alpha * x));
};

/** (x₁ + b₁) · Gelu(x₂ + b₂) of the two halves of the last axis. */
const biasSplitGelu: SliceRule = (context, axis) => {
  const half = context.outputSize(axis);
  const rank = context.view.outputShape()?.length ?? 0;
  if (axis !== rank - 1 || half === undefined) return undefined;
  const x = context.slices(0, axis) ?? varying(2 * half);
  const bias = context.slices(1, 0) ?? varying(2 * half);
  const sums = x.map((number, i) => number + bias[i]!);
  return Float64Array.from({ length: half }, (_, i) => {
    const [value, gate] = [sums[i]!, gelu(sums[i + half]!)];
    return value === 0 || gate === 0 ? 0 : value * gate;
  });
};

type Activation = (x: number) => number;

/** The activation of FusedGemm and FusedConv; `undefined` for one that is not known. */
function activationOf({ node }: SliceContext): Activation | undefined {
  const listed = node.attributes.get("activation_params");
  const parameters = listed?.kind === "floats" ? listed.value : [];
  const parameter = (at: number, name: string, fallback: number): number =>
    parameters[at] ?? floatAttribute(node, name, fallback);
  switch (stringAttribute(node, "activation", "")) {
    case "":
      return (x) => x;
    case "Relu":
      return (x) => Math.max(0, x);
    case "Sigmoid":
      return sigmoid;
    case "Tanh":
      return Math.tanh;
    case "LeakyRelu": {
      const alpha = parameter(0, "activation_alpha", 0.01);
      return (x) => (x < 0 ? alpha * x : x);
    }
    case "Clip": {
      const [low, high] = parameters;
      return low === undefined || high === undefined ? undefined : (x) => Math.min(Math.max(x, low), high);
    }
    case "HardSigmoid": {
      const alpha = parameter(0, "activation_alpha", 0.2);
      const beta = parameter(1, "activation_beta", 0.5);
      return (x) => Math.max(0, Math.min(1, alpha * x + beta));
    }
    default:
      return undefined;
  }
}

/** Gemm or Conv, something of the result's shape added to it, and an activation. */
const activated: SliceRule = (context, axis) => {
  const f = activationOf(context);
  const sums = contractionConstants(context, axis);
  const added = context.node.inputs[3] ? (context.slices(3, axis) ?? varying(sums?.length ?? 0)) : undefined;
  return f && sums?.map((x, i) => f(x + (added?.[i] ?? 0)));
};

const isZero = (slices: SliceConstants | undefined, at: number): boolean => slices?.[at] === 0;

/** For each of `count` channels, 0 where `zero` says that V is zero there: what the softmax weighs stays zero. */
function zeros(count: Dim, zero: (channel: number) => boolean): SliceConstants | undefined {
  if (typeof count !== "number") return undefined;
  return Float64Array.from({ length: count }, (_, channel) => (zero(channel) ? 0 : Number.NaN));
}

/** Zero columns of V with a zero bias (raw, or as zero point or scale of an int8 weight) make zero channels. */
const packedAttention =
  ({ past, scale, zeroPoint }: { past: number; scale?: number; zeroPoint?: number }): SliceRule =>
  (context, axis) => {
    const [queries, keys, values] = packedWidths(context.view);
    if (axis !== 2 || typeof queries !== "number" || typeof keys !== "number") return undefined;
    if (context.node.inputs[past]) return undefined;
    const perColumn = (index: number | undefined, at: number): number | undefined => {
      if (index === undefined || !context.node.inputs[index]) return undefined;
      const numbers = context.numbers(index);
      return numbers ? numbers[numbers.length === 1 ? 0 : at] : Number.NaN;
    };
    const weight = context.slices(1, 1);
    const bias = context.slices(2, 0);
    return zeros(values, (channel) => {
      const at = queries + keys + channel;
      if (context.node.inputs[2] && !isZero(bias, at)) return false;
      return perColumn(scale, at) === 0 || weight?.[at] === (perColumn(zeroPoint, at) ?? 0);
    });
  };

/** Whether channel `head · dim + e` of V is zero, V being `[B, T, heads · dim]` or `[B, heads, T, dim]`. */
function valueZeros(context: SliceContext, index: number, dim: number): (channel: number) => boolean {
  if (context.view.shape(index)?.length === 4) {
    const [heads, dims] = [context.slices(index, 1), context.slices(index, 3)];
    return (channel) => isZero(heads, Math.floor(channel / dim)) || isZero(dims, channel % dim);
  }
  const slices = context.slices(index, 2);
  return (channel) => isZero(slices, channel);
}

const multiHead: SliceRule = (context, axis) => {
  const sizes = multiHeadSizes(context.view);
  const width = context.outputSize(2);
  if (axis !== 2 || !sizes || typeof sizes.valueDim !== "number" || context.node.inputs[7]) return undefined;
  const dim = sizes.valueDim;
  const packed = [0, 1].find((i) => context.view.shape(i)?.length === 5);
  const heads = packed === undefined ? undefined : context.slices(packed, 2);
  const zero = packed === undefined ? valueZeros(context, 2, dim) : undefined;
  const bias = context.slices(3, 0);
  const offset = (context.size(3, 0) ?? 0) - (width ?? 0);
  return zeros(width, (channel) => {
    if (context.node.inputs[3] && !isZero(bias, offset + channel)) return false;
    return zero ? zero(channel) : isZero(heads, Math.floor(channel / dim));
  });
};

/** Channel e of query head h comes from channel e of the key–value head that h reads. */
const grouped: SliceRule = (context, axis) => {
  const { heads, kvHeads, dim, packed } = groupedSizes(context.view);
  if (axis !== 2 || typeof dim !== "number" || context.node.inputs[4]) return undefined;
  const offset = packed ? (heads + kvHeads) * dim : 0;
  const slices = context.slices(packed ? 0 : 2, 2);
  return zeros(heads * dim, (channel) => {
    const head = Math.floor(channel / dim / (heads / kvHeads));
    return isZero(slices, offset + head * dim + (channel % dim));
  });
};

const attention: SliceRule = (context, axis) => {
  const sizes = attentionSizes(context.view);
  if (!sizes || context.node.inputs[5]) return undefined;
  const { apart, heads, kvHeads, valueDim } = sizes;
  if (typeof heads !== "number" || typeof kvHeads !== "number" || typeof valueDim !== "number")
    return undefined;
  const reads = (head: number): number => Math.floor(head / (heads / kvHeads));
  if (apart) {
    if (axis !== 1 && axis !== 3) return undefined;
    const slices = context.slices(2, axis);
    return zeros(axis === 1 ? heads : valueDim, (at) => isZero(slices, axis === 1 ? reads(at) : at));
  }
  if (axis !== 2) return undefined;
  const zero = valueZeros(context, 2, valueDim);
  return zeros(heads * valueDim, (channel) =>
    zero(reads(Math.floor(channel / valueDim)) * valueDim + (channel % valueDim)),
  );
};

/** What fused operators make of constant channels; keys as in `fusedShapeRules`. Normalisations mix and have no row. */
export const fusedSliceRules: Readonly<Record<string, SliceRule>> = {
  Attention: attention,
  "com.microsoft.Attention": packedAttention({ past: 4 }),
  "com.microsoft.QAttention": packedAttention({ past: 8, scale: 4, zeroPoint: 7 }),
  "com.microsoft.MultiHeadAttention": multiHead,
  "com.microsoft.GroupQueryAttention": grouped,
  "com.microsoft.BiasGelu": biased(gelu),
  "com.microsoft.FastGelu": biased(geluTanh),
  "com.microsoft.QuickGelu": quickGelu,
  "com.microsoft.Gelu": biased(gelu),
  "com.microsoft.BiasAdd": biased((x) => x),
  "com.microsoft.BiasSplitGelu": biasSplitGelu,
  "com.microsoft.FusedMatMul": contractionConstants,
  "com.microsoft.FusedGemm": activated,
  "com.microsoft.FusedConv": activated,
};
