import { int, ints } from "../../graph/attribute.ts";
import type { DataType } from "../../graph/tensor.ts";
import type { Dim, Node } from "../../graph/types.ts";
import { intAttribute, intsAttribute, stringAttribute } from "../../ops/attributes.ts";
import { windowOf } from "../../ops/window.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";
import type { Applied, Vjp, VjpTable } from "../vjp.ts";
import { product, range, reshapeTo, type Size, sizeAt, unsupported } from "./sizes.ts";
import { padSpatial, type Sliding, slidingOf, spread, taps } from "./sliding.ts";

/** The least finite number of an element type, which no element of an input is below. */
const lowest = (dtype: DataType): number => (dtype === "float16" ? -65504 : -3.4028234663852886e38);

function poolSliding<T>(ops: DiffOps<T>, { node, inputs }: Applied<T>): Sliding {
  const kernel = intsAttribute(node, "kernel_shape");
  if (!kernel) throw unsupported(node, "it has no kernel_shape.");
  const sliding = slidingOf(ops, node, inputs[0]!, kernel);
  const dilated = sliding.dilations.some((dilation, i) => dilation > 1 && kernel[i]! > 1);
  // onnxruntime pads as if there were no dilation, against the definition.
  if (dilated && stringAttribute(node, "auto_pad", "NOTSET").startsWith("SAME"))
    throw unsupported(node, "runtimes differ in auto_pad with dilations; give the pads.");
  return sliding;
}

/** What each window of an input sees, `[batch, channels, kernel, …outputs]`. */
function windows<T>(ops: DiffOps<T>, x: T, sliding: Sliding): T {
  const padded = padSpatial(ops, x, sliding.before, sliding.after, lowest(ops.dtype(x)));
  const seen = taps(ops, padded, sliding).map((tap) => ops.unsqueeze(tap, [2]));
  return ops.concat(seen, 2);
}

/** The adjoint of `windows`. */
function unwindow<T>(ops: DiffOps<T>, seen: T, sliding: Sliding, x: T): T {
  const { kernel } = sliding;
  const count = product(kernel);
  const outputs = kernel.map((_, i) => sizeAt(ops, seen, i + 3));
  const oneHot = ops.constant(ops.dtype(seen), [count, 1, ...kernel], identity(count));
  return ops.reshapeLike(spread(ops, imagesOf(ops, seen, [count, ...outputs]), oneHot, sliding, x), x);
}

/** Batch and channels as one axis before others of the given sizes. */
function imagesOf<T>(ops: DiffOps<T>, x: T, sizes: readonly Size<T>[]): T {
  const [batch, channels] = [sizeAt(ops, x, 0), sizeAt(ops, x, 1)];
  if (typeof batch === "number" && typeof channels === "number")
    return reshapeTo(ops, x, [batch * channels, ...sizes]);
  return reshapeTo(ops, x, [ops.mul(ops.sizeOf(x, 0), ops.sizeOf(x, 1)), ...sizes]);
}

const identity = (size: number): number[] => range(size * size).map((i) => (i % (size + 1) === 0 ? 1 : 0));

/**
 * The gradient goes to the first of the largest elements of each window, as onnxruntime's `Indices` name it. That output is not asked for,
 * since WebGPU has none: the elements that equal the maximum are ranked, earlier ones higher, and the highest rank is taken.
 */
const maxPool: Vjp = (ops, at, g) => {
  const x = at.inputs[0]!;
  const sliding = poolSliding(ops, at);
  const count = product(sliding.kernel);
  const seen = windows(ops, x, sliding);
  // Not compared directly: onnxruntime may transpose what a comparison of two maps gives, and for bool WebGPU has no Transpose.
  const below = ops.sub(seen, ops.unsqueeze(at.outputs[0]!, [2]));
  const isMax = ops.call("Equal", [below, ops.scalar(0, x)]);
  const ranks = ops.constant(
    ops.dtype(x),
    [count, ...sliding.kernel.map(() => 1)],
    range(count).map((i) => count - i),
  );
  // A product with a cast condition takes onnxruntime a fraction of the time of Where.
  const rank = ops.mul(ops.cast(isMax, ops.dtype(x)), ranks);
  const isFirst = ops.call("Equal", [rank, ops.reduce("ReduceMax", rank, [2], true)]);
  const chosen = ops.mul(ops.cast(isFirst, ops.dtype(x)), ops.unsqueeze(g, [2]));
  return unwindow(ops, chosen, sliding, x);
};

/** Each element of a window takes an equal share. */
const averagePool: Vjp = (ops, at, g) => {
  const x = at.inputs[0]!;
  const sliding = poolSliding(ops, at);
  const { kernel } = sliding;
  const counted = countedElements(ops, at, sliding);
  const share = typeof counted === "number" ? ops.scale(g, 1 / counted) : ops.div(g, counted);
  const outputs = kernel.map((_, i) => sizeAt(ops, g, i + 2));
  const images = imagesOf(ops, share, [1, ...outputs]);
  return ops.reshapeLike(spread(ops, images, onesKernel(ops, x, kernel), sliding, x), x);
};

function onesKernel<T>(ops: DiffOps<T>, like: T, kernel: readonly number[]): T {
  return ops.constant(
    ops.dtype(like),
    [1, 1, ...kernel],
    range(product(kernel)).map(() => 1),
  );
}

/** How many elements each window averages: a number where it is the same for all, else a tensor that broadcasts with the output. */
function countedElements<T>(ops: DiffOps<T>, { node, inputs }: Applied<T>, sliding: Sliding): number | T {
  const { kernel, before, after } = sliding;
  const x = inputs[0]!;
  const counts = axisCounts(node, sliding, ops.shape(x)!.slice(2)); // slidingOf has checked it
  const plain = [...before, ...after].every((amount) => amount === 0);
  if (plain || counts.every((list, i) => list?.every((count) => count === kernel[i]))) return product(kernel);
  if (counts.every((list) => list !== undefined)) {
    const table = counts.reduce<readonly number[]>(
      (all, list) => all.flatMap((a) => list.map((b) => a * b)),
      [1],
    );
    const sizes = counts.map((list) => list.length);
    return ops.constant(ops.dtype(x), sizes, table);
  }
  return intAttribute(node, "count_include_pad", 0) === 0 ? countWhenRun(ops, x, sliding) : product(kernel);
}

/** For each axis, how many elements each window counts along it; `undefined` where the size is not known. */
function axisCounts(
  node: Node,
  { kernel, strides, dilations, before, after }: Sliding,
  spatial: readonly Dim[],
): readonly (readonly number[] | undefined)[] {
  const withPadding = intAttribute(node, "count_include_pad", 0) !== 0;
  const { pads } = windowOf(node, kernel, spatial);
  return kernel.map((size, i) => {
    const input = spatial[i];
    if (typeof input !== "number") return undefined;
    // What ceil_mode adds behind the padding never counts.
    const [from, to] = withPadding ? [-before[i]!, input + pads[i]![1]] : [0, input];
    const reach = dilations[i]! * (size - 1) + 1;
    const outputs = Math.floor((input + before[i]! + after[i]! - reach) / strides[i]!) + 1;
    return range(outputs).map((output) => {
      const start = output * strides[i]! - before[i]!;
      const seen = range(size).map((k) => start + k * dilations[i]!);
      return seen.filter((at) => at >= from && at < to).length;
    });
  });
}

/** `[1, 1, …outputs]`: windows sliding over ones. */
function countWhenRun<T>(ops: DiffOps<T>, x: T, sliding: Sliding): T {
  const { kernel, strides, dilations, before, after } = sliding;
  const sizes = kernel.map((_, i) => ops.sizeOf(x, i + 2));
  const ones = ops.call("Expand", [ops.scalar(1, x), ops.concat([ops.int64([1, 1]), ...sizes], 0)]);
  return ops.call("Conv", [ones, onesKernel(ops, x, kernel)], {
    kernel_shape: ints(kernel),
    strides: ints(strides),
    dilations: ints(dilations),
    pads: ints([...before, ...after]),
    group: int(1),
  });
}

/** Poolings over any number of axes. */
export const poolings: VjpTable = {
  MaxPool: [maxPool],
  AveragePool: [averagePool],
};
