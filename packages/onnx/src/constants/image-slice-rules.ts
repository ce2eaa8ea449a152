import { intAttribute, stringAttribute } from "../ops/attributes.ts";
import type { SliceConstants, SliceContext } from "./slice-context.ts";
import type { SliceRule } from "./slice-rules.ts";

const varying = (size: number): SliceConstants => new Float64Array(size).fill(Number.NaN);

/** A slice of zeros stays zeros; any other number is mixed with zeros or scaled by what it stands next to. */
const zeros: SliceRule = (context, axis) =>
  axis > 1 ? undefined : context.slices(0, axis)?.map((x) => (x === 0 ? 0 : Number.NaN));

/**
 * Each channel of each image is brought to mean 0: zeros become the bias exactly. Of another constant the runtime's mean is off
 * by a rounding error, which 1/√ε magnifies; such a channel counts as varying.
 */
const instanceNormalization: SliceRule = (context, axis) => {
  const x = context.slices(0, axis);
  const scale = context.numbers(1);
  const bias = context.numbers(2);
  if (axis !== 1 || !scale || !bias) return undefined;
  return Float64Array.from(bias, (b, c) => (x?.[c] === 0 || scale[c] === 0 ? b : Number.NaN));
};

/** As `instanceNormalization`, for groups of which all channels are zero. */
const groupNormalization: SliceRule = (context, axis) => {
  const channels = context.size(0, 1);
  const groups = intAttribute(context.node, "num_groups", 1);
  const scale = context.numbers(1);
  const bias = context.numbers(2);
  if (axis !== 1 || channels === undefined || !scale || !bias) return undefined;
  const x = context.slices(0, 1);
  const width = channels / groups;
  const own = (numbers: ArrayLike<number>, c: number): number =>
    numbers[context.view.opset < 21 ? Math.floor(c / width) : c]!;
  const dead = Array.from({ length: groups }, (_, g) =>
    x?.slice(g * width, (g + 1) * width).every((c) => c === 0),
  );
  return Float64Array.from({ length: channels }, (_, c) =>
    dead[Math.floor(c / width)] || own(scale, c) === 0 ? own(bias, c) : Number.NaN,
  );
};

/** Channel c of the output is made of block² channels of the input, which must be the same number. */
const depthToSpace: SliceRule = (context, axis) => {
  const x = context.slices(0, 1);
  const channels = context.outputSize(1);
  if (axis !== 1 || !x || channels === undefined) return undefined;
  const block = x.length / channels;
  const blockFirst = stringAttribute(context.node, "mode", "DCR") === "DCR";
  return Float64Array.from({ length: channels }, (_, c) => {
    const parts = Array.from({ length: block }, (__, b) => x[blockFirst ? b * channels + c : c * block + b]!);
    return parts.every((part) => part === parts[0]) ? parts[0]! : Number.NaN;
  });
};

/** Channel c of the input becomes channels c, C + c, 2·C + c, …. */
const spaceToDepth: SliceRule = (context, axis) => {
  const x = context.slices(0, 1);
  const channels = context.outputSize(1);
  if (axis !== 1 || !x || channels === undefined) return undefined;
  return Float64Array.from({ length: channels }, (_, c) => x[c % x.length]!);
};

/** A channel of zeros is a run of zero columns, one per tap. */
const col2Im: SliceRule = (context, axis) => {
  const x = context.slices(0, 1);
  const channels = context.outputSize(1);
  if (axis !== 1 || !x || channels === undefined) return undefined;
  const taps = x.length / channels;
  return Float64Array.from({ length: channels }, (_, c) =>
    x.slice(c * taps, (c + 1) * taps).every((number) => number === 0) ? 0 : Number.NaN,
  );
};

/** Interpolation weights add up to one, unless samples outside count as zeros. */
const gridSample: SliceRule = (context, axis) => {
  if (stringAttribute(context.node, "padding_mode", "zeros") === "zeros") return zeros(context, axis);
  return axis > 1 ? undefined : context.slices(0, axis);
};

const roiAlign: SliceRule = (context, axis) => (axis === 1 ? zeros(context, axis) : undefined);

/** The axis over and over. */
const tile: SliceRule = (context, axis) => {
  const x = context.slices(0, axis);
  const size = context.outputSize(axis);
  return x && size !== undefined
    ? Float64Array.from({ length: size }, (_, i) => x[i % x.length]!)
    : undefined;
};

/** Slices of an input along an axis of the output that it is broadcast to. */
function operand(context: SliceContext, index: number, axis: number, size: number): SliceConstants {
  const rank = context.view.outputShape()?.length ?? 0;
  const at = axis - rank + (context.view.shape(index)?.length ?? 0);
  const own = at >= 0 && context.size(index, at) === size ? context.slices(index, at) : undefined;
  const number = own ? undefined : context.uniform(index);
  return own ?? (number === undefined ? varying(size) : new Float64Array(size).fill(number));
}

/** Whatever the condition, two equal numbers give that number; a constant condition chooses. */
const where: SliceRule = (context, axis) => {
  const size = context.outputSize(axis);
  if (size === undefined) return undefined;
  const [condition, yes, no] = [0, 1, 2].map((i) => operand(context, i, axis, size));
  return condition!.map((c, i) => {
    if (yes![i] === no![i]) return yes![i]!;
    return Number.isNaN(c) ? Number.NaN : c === 0 ? no![i]! : yes![i]!;
  });
};

const truth = (value: boolean): number => (value ? 1 : 0);

const compare = (test: (a: number, b: number) => boolean): SliceRule => {
  return (context, axis) => {
    const size = context.outputSize(axis);
    if (size === undefined) return undefined;
    const [a, b] = [0, 1].map((i) => operand(context, i, axis, size));
    return a!.map((x, i) => (Number.isNaN(x) || Number.isNaN(b![i]!) ? Number.NaN : truth(test(x, b![i]!))));
  };
};

/** Constant channels through the operators of vision models; part of `sliceRules`. */
export const imageSliceRules: Readonly<Record<string, SliceRule>> = {
  InstanceNormalization: instanceNormalization,
  GroupNormalization: groupNormalization,
  LpPool: zeros,
  GlobalLpPool: zeros,
  DepthToSpace: depthToSpace,
  SpaceToDepth: spaceToDepth,
  MaxUnpool: zeros,
  Col2Im: col2Im,
  RoiAlign: roiAlign,
  MaxRoiPool: roiAlign,
  GridSample: gridSample,
  Tile: tile,
  Where: where,
  Equal: compare((a, b) => a === b),
  Greater: compare((a, b) => a > b),
  GreaterOrEqual: compare((a, b) => a >= b),
  Less: compare((a, b) => a < b),
  LessOrEqual: compare((a, b) => a <= b),
};
