import { broadcastShape, expanded } from "./broadcast.ts";
import type { Call, Kernel } from "./call.ts";
import { readStrided, transposed } from "./strided.ts";
import { type Float64Tensor, reshaped, sizeOf, stridesOf } from "./tensor.ts";

/** 0 takes the size of the input's axis (but with allowzero is itself), −1 what is left. */
function reshape(call: Call): Float64Tensor {
  const x = call.input(0);
  const target = call.numbers(1) ?? call.ints("shape") ?? call.fail("no shape");
  const keepZero = call.int("allowzero", 0) !== 0;
  const shape = target.map((dim, axis) => (dim === 0 && !keepZero ? x.shape[axis]! : dim));
  const known = sizeOf(shape.filter((dim) => dim !== -1));
  return reshaped(
    x,
    shape.map((dim) => (dim === -1 ? x.data.length / known : dim)),
  );
}

function flatten(call: Call): Float64Tensor {
  const x = call.input(0);
  const axis = call.int("axis", 1);
  const at = axis < 0 ? axis + x.shape.length : axis;
  return reshaped(x, [sizeOf(x.shape.slice(0, at)), sizeOf(x.shape.slice(at))]);
}

function squeeze(call: Call): Float64Tensor {
  const x = call.input(0);
  const axes = call.axes(1, x.shape.length);
  if (axes?.some((axis) => x.shape[axis] !== 1)) call.fail(`axes ${axes.join(", ")} have other sizes than 1`);
  return reshaped(
    x,
    x.shape.filter((dim, axis) => (axes ? !axes.includes(axis) : dim !== 1)),
  );
}

function unsqueeze(call: Call): Float64Tensor {
  const x = call.input(0);
  const count = (call.numbers(1) ?? call.ints("axes") ?? call.fail("no axes")).length;
  const axes = call.axes(1, x.shape.length + count)!;
  const rest = x.shape.values();
  const shape = Array.from({ length: x.shape.length + count }, (_, axis) =>
    axes.includes(axis) ? 1 : rest.next().value!,
  );
  return reshaped(x, shape);
}

function concat(call: Call): Float64Tensor {
  const parts = call.inputs.map((_, i) => call.input(i));
  const { dtype, shape } = parts[0]!;
  const axis = call.axis("axis", 0, shape.length);
  const outer = sizeOf(shape.slice(0, axis));
  const size = parts.reduce((sum, part) => sum + part.shape[axis]!, 0);
  const runs = parts.map((part) => part.data.length / outer);
  const data = new Float64Array(parts.reduce((sum, part) => sum + part.data.length, 0));
  for (let o = 0, to = 0; o < outer; o++) {
    for (const [i, part] of parts.entries()) {
      data.set(part.data.subarray(o * runs[i]!, (o + 1) * runs[i]!), to);
      to += runs[i]!;
    }
  }
  return { dtype, shape: shape.map((dim, i) => (i === axis ? size : dim)), data };
}

/** Parts of the given sizes, else as equal as can be with a smaller last one. */
function split(call: Call): Float64Tensor[] {
  const x = call.input(0);
  const axis = call.axis("axis", 0, x.shape.length);
  const size = x.shape[axis]!;
  const count = call.int("num_outputs", call.outputs);
  const part = Math.ceil(size / count);
  const sizes =
    call.numbers(1) ??
    call.ints("split") ??
    Array.from({ length: count }, (_, i) => Math.max(0, Math.min(part, size - i * part)));
  const strides = stridesOf(x.shape);
  let start = 0;
  return sizes.map((length) => {
    const shape = x.shape.map((dim, i) => (i === axis ? length : dim));
    const data = readStrided(x.data, shape, strides, start * strides[axis]!);
    start += length;
    return { dtype: x.dtype, shape, data };
  });
}

function slice(call: Call): Float64Tensor {
  const x = call.input(0);
  const starts = call.numbers(1) ?? call.fail("no starts");
  const ends = call.numbers(2) ?? call.fail("no ends");
  const axes = call.axes(3, x.shape.length) ?? [...starts.keys()];
  const shape = [...x.shape];
  const strides = stridesOf(x.shape);
  let offset = 0;
  for (const [i, axis] of axes.entries()) {
    const size = x.shape[axis]!;
    const step = call.inputs[4]?.data[i] ?? 1;
    const [low, high] = step > 0 ? [0, size] : [-1, size - 1];
    const clamp = (at: number): number => Math.max(low, Math.min(high, at < 0 ? at + size : at));
    const start = Math.max(0, clamp(starts[i]!));
    shape[axis] = Math.max(0, Math.ceil((clamp(ends[i]!) - start) / step));
    offset += start * strides[axis]!;
    strides[axis]! *= step;
  }
  return { dtype: x.dtype, shape, data: readStrided(x.data, shape, strides, offset) };
}

function tile(call: Call): Float64Tensor {
  const x = call.input(0);
  const repeats = call.numbers(1) ?? call.fail("no repeats");
  const strides = stridesOf(x.shape);
  const data = readStrided(
    x.data,
    x.shape.flatMap((dim, i) => [repeats[i]!, dim]),
    strides.flatMap((stride) => [0, stride]),
  );
  return { dtype: x.dtype, shape: x.shape.map((dim, i) => dim * repeats[i]!), data };
}

/** Channels to blocks of positions; with DCR the block comes before the channel. */
function depthToSpace(call: Call): Float64Tensor {
  const x = call.input(0);
  const [batch, channels, height, width] = x.shape as readonly [number, number, number, number]; // rank 4 by definition
  const block = call.int("blocksize", 1);
  const depth = channels / block ** 2;
  const turned =
    call.string("mode", "DCR") === "DCR"
      ? transposed(reshaped(x, [batch, block, block, depth, height, width]), [0, 3, 4, 1, 5, 2])
      : transposed(reshaped(x, [batch, depth, block, block, height, width]), [0, 1, 4, 2, 5, 3]);
  return reshaped(turned, [batch, depth, height * block, width * block]);
}

function spaceToDepth(call: Call): Float64Tensor {
  const x = call.input(0);
  const [batch, channels, height, width] = x.shape as readonly [number, number, number, number]; // rank 4 by definition
  const block = call.int("blocksize", 1);
  const [rows, columns] = [height / block, width / block];
  const turned = transposed(reshaped(x, [batch, channels, rows, block, columns, block]), [0, 3, 5, 1, 2, 4]);
  return reshaped(turned, [batch, channels * block ** 2, rows, columns]);
}

/** The part of each matrix on and above (or below) diagonal k. */
function trilu(call: Call): Float64Tensor {
  const x = call.input(0);
  const [rows, columns] = x.shape.slice(-2) as [number, number]; // rank 2 at least by definition
  const upper = call.int("upper", 1) !== 0;
  const k = call.inputs[1]?.data[0] ?? 0;
  const data = x.data.map((value, at) => {
    const beyond = (at % columns) - (Math.floor(at / columns) % rows) - k;
    return (upper ? beyond >= 0 : beyond <= 0) ? value : 0;
  });
  return { ...x, data };
}

/** Operators that move, repeat or drop elements by their position alone. */
export const movementKernels: { readonly [op: string]: Kernel } = {
  Concat: concat,
  DepthToSpace: depthToSpace,
  Expand: (call) => {
    const x = call.input(0);
    return expanded(x, broadcastShape(x.shape, call.numbers(1) ?? call.fail("no shape")));
  },
  Flatten: flatten,
  Reshape: reshape,
  Slice: slice,
  SpaceToDepth: spaceToDepth,
  Split: split,
  Squeeze: squeeze,
  Tile: tile,
  Transpose: (call) => {
    const x = call.input(0);
    return transposed(x, call.ints("perm") ?? [...x.shape.keys()].reverse());
  },
  Trilu: trilu,
  Unsqueeze: unsqueeze,
};
