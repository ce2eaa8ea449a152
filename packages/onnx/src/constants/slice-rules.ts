import { einsumLabels } from "../ops/einsum.ts";
import { mergeDomain } from "../ops/flat.ts";
import { reshapeGroups } from "../infer/reshape-groups.ts";
import { padAmounts, sliceBounds, sliceRanges } from "../infer/shape-rules.ts";
import type { Dim } from "../graph/graph.ts";
import { dataTypes } from "../graph/tensor.ts";
import {
  floatAttribute,
  frontAxis,
  intAttribute,
  intsAttribute,
  stringAttribute,
} from "../ops/attributes.ts";
import { type BinaryOp, binaryOps, unaryOps, type UnaryOp } from "../ops/families.ts";
import { binaryFunctions, unaryFunctions } from "../ops/scalar-functions.ts";
import { isPadded, windowOf } from "../ops/window.ts";
import { contractionConstants } from "./contraction-constants.ts";
import { quantizedSlices } from "./quantized-slices.ts";
import { imageSliceRules } from "./image-slice-rules.ts";
import type { SliceConstants, SliceContext } from "./slice-context.ts";

/**
 * The constant slices of an output along `axis`, from those of the inputs; `undefined` if all vary. Rules are asked about output
 * 0, those of `severalOutputs` about every output (default 0).
 */
export type SliceRule = (context: SliceContext, axis: number, output?: number) => SliceConstants | undefined;

/** Operators whose rules know more than one output. */
export const severalOutputs: ReadonlySet<string> = new Set(["Split", "Merge"]);

const keep: SliceRule = (context, axis) => context.slices(0, axis);

const unary: SliceRule = (context, axis) => {
  const f = unaryFunctions[context.node.op as UnaryOp](context.view); // rows below name unaryOps only
  return f && context.slices(0, axis)?.map((x) => f(x));
};

/** Slices of an input that is broadcast to the output; a fixed input of one number fills every slice. */
export function broadcastSlices(
  context: SliceContext,
  index: number,
  axis: number,
  size: number,
): SliceConstants | undefined {
  const rank = context.view.outputShape()?.length;
  const own = context.view.shape(index)?.length;
  if (rank === undefined || own === undefined) return undefined;
  const at = axis - rank + own;
  if (at >= 0 && context.size(index, at) === size) return context.slices(index, at);
  const number = context.uniform(index);
  return number === undefined ? undefined : new Float64Array(size).fill(number);
}

const varying = (size: number): SliceConstants => new Float64Array(size).fill(Number.NaN);

/** A zero channel stays zero whatever it is multiplied with, or divided by (a norm). */
const staysZero = (op: BinaryOp, a: number, b: number): boolean =>
  (op === "Mul" && (a === 0 || b === 0)) || (op === "Div" && a === 0 && b !== 0);

const binary: SliceRule = (context, axis) => {
  const size = context.outputSize(axis);
  if (size === undefined) return undefined;
  const op = context.node.op as BinaryOp; // rows below name binaryOps only
  const f = binaryFunctions[op];
  const operands = context.node.inputs.map(
    (_, i) => broadcastSlices(context, i, axis, size) ?? varying(size),
  );
  const combined = operands.reduce((a, b) => a.map((x, i) => (staysZero(op, x, b[i]!) ? 0 : f(x, b[i]!))));
  return op === "Mean" ? combined.map((x) => x / operands.length) : combined;
};

const prelu: SliceRule = (context, axis) => {
  const size = context.outputSize(axis);
  if (size === undefined) return undefined;
  const slope = broadcastSlices(context, 1, axis, size);
  return context.slices(0, axis)?.map((x, i) => (x >= 0 ? x : x * (slope?.[i] ?? Number.NaN)));
};

/** y = scale·(x − mean) / √(variance + ε) + bias, per channel. */
const batchNormalization: SliceRule = (context, axis) => {
  const x = context.slices(0, axis);
  const [scale, bias, mean, variance] = [1, 2, 3, 4].map((i) => context.numbers(i));
  if (axis !== 1 || !scale || !bias || !mean || !variance) return undefined;
  if (intAttribute(context.node, "training_mode", 0) !== 0) return undefined;
  const epsilon = floatAttribute(context.node, "epsilon", 1e-5);
  // A scale of zero makes a constant of anything.
  return Float64Array.from(scale, (s, c) => {
    const factor = s / Math.sqrt(variance[c]! + epsilon);
    return factor === 0 ? bias[c]! : factor * ((x?.[c] ?? Number.NaN) - mean[c]!) + bias[c]!;
  });
};

/** A window of one number averages to it, unless padding zeros are counted in. */
const averagePool: SliceRule = (context, axis) => {
  if (axis > 1) return undefined;
  const x = context.slices(0, axis);
  const kernel = intsAttribute(context.node, "kernel_shape") ?? [];
  const window = windowOf(context.node, kernel, context.view.shape(0)?.slice(2) ?? []);
  const counted = intAttribute(context.node, "count_include_pad", 0) !== 0;
  const ceil = intAttribute(context.node, "ceil_mode", 0) !== 0;
  return counted && (isPadded(window) || ceil) ? onlyZeros(x) : x;
};

const onlyZeros = (x: SliceConstants | undefined): SliceConstants | undefined =>
  x?.map((c) => (c === 0 ? 0 : Number.NaN));

/** A cast between float types; one to integers would truncate. */
const cast: SliceRule = (context, axis) => {
  const floats: readonly number[] = [
    dataTypes.float32,
    dataTypes.float64,
    dataTypes.float16,
    dataTypes.bfloat16,
  ];
  return floats.includes(intAttribute(context.node, "to", 0)) ? context.slices(0, axis) : undefined;
};

/** Maximum and global poolings, over positions. */
const pool: SliceRule = (context, axis) => (axis > 1 ? undefined : context.slices(0, axis));

/** Input axis of an output axis that a reduction leaves alone, and how many elements are reduced to one. */
function reducedFrom(
  context: SliceContext,
  axis: number,
): { axis: number; count: number | undefined } | undefined {
  const shape = context.view.shape(0);
  const axes = context.view.axes(1);
  if (!shape || axes === "unknown" || !axes || axes.length === 0) return undefined;
  const gone = new Set(axes.map((each) => frontAxis(each, shape.length)));
  const kept = shape.map((_, each) => each).filter((each) => !gone.has(each));
  const from = intAttribute(context.node, "keepdims", 1) !== 0 ? axis : kept[axis];
  if (from === undefined || gone.has(from)) return undefined;
  const count = [...gone].reduce<number | undefined>((total, each) => {
    const size = shape[each];
    return total === undefined || typeof size !== "number" ? undefined : total * size;
  }, 1);
  return { axis: from, count };
}

const reduceSame: SliceRule = (context, axis) => {
  const from = reducedFrom(context, axis);
  return from && context.slices(0, from.axis);
};

const reduceSum: SliceRule = (context, axis) => {
  const from = reducedFrom(context, axis);
  const x = from && context.slices(0, from.axis);
  return x?.map((c) => (c === 0 ? 0 : c * (from?.count ?? Number.NaN)));
};

/** Follows the elements of each independent part of a reshape. */
const regroup: SliceRule = (context, axis) => {
  const from = context.view.shape(0);
  const to = context.view.outputShape();
  if (!from || !to) return undefined;
  const group = reshapeGroups(from, to).find(({ output: [o, end] }) => axis >= o && axis < end);
  if (!group?.exact) return undefined;
  const [i, iEnd] = group.input;
  const [o, oEnd] = group.output;
  if (iEnd - i === 1 && oEnd - o === 1) return context.slices(0, i);
  const inner = numeric(from.slice(i, iEnd));
  const outer = numeric(to.slice(o, oEnd));
  if (!inner || !outer) return undefined;
  const elements = varying(inner.reduce((a, b) => a * b, 1));
  inner.forEach((size, at) => {
    const slices = context.slices(0, i + at);
    const stride = inner.slice(at + 1).reduce((a, b) => a * b, 1);
    if (!slices) return;
    elements.forEach((element, e) => {
      if (Number.isNaN(element)) elements[e] = slices[Math.floor(e / stride) % size]!;
    });
  });
  return mergeElements(elements, outer, axis - o);
};

function mergeElements(elements: SliceConstants, shape: readonly number[], axis: number): SliceConstants {
  const stride = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const merged = new Float64Array(shape[axis]!);
  const seen = new Uint8Array(shape[axis]!);
  elements.forEach((element, e) => {
    const at = Math.floor(e / stride) % shape[axis]!;
    merged[at] = seen[at] && merged[at] !== element ? Number.NaN : element;
    seen[at] = 1;
  });
  return merged;
}

function numeric(dims: readonly Dim[]): readonly number[] | undefined {
  return dims.every((dim) => typeof dim === "number") ? dims : undefined;
}

const transpose: SliceRule = (context, axis) => {
  const rank = context.view.shape(0)?.length ?? 0;
  const permutation = intsAttribute(context.node, "perm");
  return context.slices(0, permutation ? permutation[axis]! : rank - 1 - axis);
};

const concat: SliceRule = (context, axis) => {
  const rank = context.view.outputShape()?.length ?? 0;
  const at = context.view.axis("axis", 0, rank);
  const parts = context.node.inputs.map((_, i) => context.slices(i, axis));
  if (axis !== at) {
    // A slice is one number if every part has the same there.
    return parts.reduce((a, b) => (a && b ? a.map((x, i) => (x === b[i] ? x : Number.NaN)) : undefined));
  }
  const sizes = context.node.inputs.map((_, i) => context.size(i, axis));
  if (sizes.some((size) => size === undefined)) return undefined;
  return Float64Array.from(parts.flatMap((part, i) => [...(part ?? varying(sizes[i]!))]));
};

const slice: SliceRule = (context, axis) => {
  const x = context.slices(0, axis);
  const ranges = sliceRanges(context.view);
  if (!x || !ranges) return undefined;
  const range = ranges.find((each) => each.axis === axis);
  if (!range) return x;
  const { start, end, step } = range;
  if (step !== 1 || typeof start !== "number" || typeof end !== "number") return undefined;
  return x.slice(...sliceBounds(x.length, start, end));
};

/** Padded channels have the padding's number. Other axes keep a channel's number if the padding is that number too. */
const pad: SliceRule = (context, axis) => {
  const x = context.slices(0, axis);
  const amounts = padAmounts(context.view);
  const here = amounts?.[axis];
  if (!amounts || !here) return undefined;
  const fills = stringAttribute(context.node, "mode", "constant") === "constant";
  const elsewhere = amounts.some(([before, after], each) => each !== axis && (before !== 0 || after !== 0));
  const filler = fills ? fillerOf(context) : undefined;
  const passed = !elsewhere || !fills ? x : x?.map((c) => (c === filler ? c : Number.NaN));
  const [before, after] = here;
  if (before === 0 && after === 0) return passed;
  const size = context.size(0, axis);
  if (size === undefined || filler === undefined || before < 0 || after < 0) return undefined;
  const padded = new Float64Array(before + size + after).fill(filler);
  padded.set(passed ?? varying(size), before);
  return padded;
};

/** The number that Pad fills with. */
function fillerOf(context: SliceContext): number | undefined {
  if (context.view.opset < 11) return floatAttribute(context.node, "value", 0);
  return context.node.inputs[2] ? context.uniform(2) : 0;
}

const gather: SliceRule = (context, axis) => {
  const rank = context.view.shape(0)?.length ?? 0;
  const at = context.view.axis("axis", 0, rank);
  const width = context.view.shape(1)?.length ?? 0;
  if (axis < at) return context.slices(0, axis);
  if (axis >= at + width) return context.slices(0, axis - width + 1);
  const x = width === 1 ? context.slices(0, at) : undefined;
  const indices = context.view.integers(1);
  return x && indices && Float64Array.from(indices, (index) => x[frontAxis(index, x.length)]!);
};

/** Interpolation weights add up to one; only the extrapolating mode brings in another number. */
const resize: SliceRule = (context, axis) => {
  const x = context.slices(0, axis);
  const crops = stringAttribute(context.node, "coordinate_transformation_mode", "") === "tf_crop_and_resize";
  return crops || x?.length !== context.outputSize(axis) ? undefined : x;
};

const expand: SliceRule = (context, axis) => {
  const size = context.outputSize(axis);
  return size === undefined ? undefined : broadcastSlices(context, 0, axis, size);
};

/** A product is zero where one of its factors is. */
const einsum: SliceRule = (context, axis) => {
  const labels = einsumLabels(context.view);
  const size = context.outputSize(axis);
  if (!labels || size === undefined) return undefined;
  const zeros = varying(size);
  labels.inputs.forEach((own, input) => {
    const slices = context.slices(input, own.indexOf(labels.output[axis]!));
    if (slices?.length === size) slices.forEach((constant, i) => constant === 0 && zeros.fill(0, i, i + 1));
  });
  return zeros;
};

/** A run of the slices along the axis that is split. */
const split: SliceRule = (context, axis, output = 0) => {
  const x = context.slices(0, axis);
  const rank = context.view.shape(0)?.length ?? 0;
  if (axis !== context.view.axis("axis", 0, rank)) return x;
  const sizes = context.node.outputs.map((_, i) => context.view.outputShape(i)?.[axis]);
  const [from, size] = [sumOf(sizes.slice(0, output)), sumOf([sizes[output]])];
  return from === undefined || size === undefined ? undefined : x?.slice(from, from + size);
};

const sumOf = (dims: readonly Dim[]): number | undefined =>
  dims.reduce<number | undefined>(
    (sum, dim) => (sum === undefined || typeof dim !== "number" ? undefined : sum + dim),
    0,
  );

/** What both branches of an If give. */
const merge: SliceRule = (context, axis, output = 0) => {
  const [first, second] = [1 + output, 1 + output + context.node.outputs.length];
  const [a, b] = [context.slices(first, axis), context.slices(second, axis)];
  return a?.length === b?.length ? a?.map((x, i) => (x === b?.[i] ? x : Number.NaN)) : undefined;
};

const each = (ops: readonly string[], rule: SliceRule): Record<string, SliceRule> => {
  return Object.fromEntries(ops.map((op) => [op, rule]));
};

/** What each operator makes of constant channels. An operator without a row makes them vary, which is always safe. */
export const sliceRules: Readonly<Record<string, SliceRule>> = {
  ...each(unaryOps, unary),
  ...each(binaryOps, binary),
  ...each(["GlobalAveragePool", "GlobalMaxPool", "MaxPool"], pool),
  ...each(["ReduceMean", "ReduceMax", "ReduceMin"], reduceSame),
  ...each(["Reshape", "Flatten", "Squeeze", "Unsqueeze"], regroup),
  ...each(["Gemm", "MatMul", "Conv", "ConvTranspose"], contractionConstants),
  Einsum: einsum,
  Cast: cast,
  Dropout: keep,
  PRelu: prelu,
  BatchNormalization: batchNormalization,
  AveragePool: averagePool,
  ReduceSum: reduceSum,
  Transpose: transpose,
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Gather: gather,
  Resize: resize,
  Upsample: resize,
  Expand: expand,
  [`${mergeDomain}.Merge`]: merge,
  ...quantizedSlices({
    ...each(["Add", "Mul"], binary),
    ...each(["Sigmoid", "LeakyRelu"], unary),
    ...each(["MatMul", "Gemm", "Conv"], contractionConstants),
    GlobalAveragePool: pool,
    AveragePool: averagePool,
    Concat: concat,
  }),
  ...imageSliceRules,
};
