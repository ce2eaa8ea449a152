import { broadcastShape, expanded } from "./broadcast.ts";
import type { Call, Kernel } from "./call.ts";
import { alongAxis } from "./rows.ts";
import { stridedOffsets, takeAlong, transposed } from "./strided.ts";
import { type Float64Tensor, float64Tensor, reshaped, sizeOf, stridesOf } from "./tensor.ts";

/** The index counted from the front; it must be one of `size`. */
export function frontIndex(call: Call, index: number, size: number): number {
  const front = index < 0 ? index + size : index;
  return front >= 0 && front < size ? front : call.fail(`index ${index} is not one of ${size}`);
}

/** `out[…, i…, …] = x[…, indices[i…], …]`. */
function gather(call: Call): Float64Tensor {
  const [x, indices] = [call.input(0), call.input(1)];
  const axis = call.axis("axis", 0, x.shape.length);
  const front = indices.data.map((index) => frontIndex(call, index, x.shape[axis]!));
  const shape = [...x.shape.slice(0, axis), ...indices.shape, ...x.shape.slice(axis + 1)];
  return reshaped(takeAlong(x, axis, front), shape);
}

/** For each element of `indices`, where it points to in `shape`: its own position with the index along `axis`. */
export function elementTargets(
  call: Call,
  indices: Float64Tensor,
  shape: readonly number[],
  axis: number,
): Float64Array {
  const strides = stridesOf(shape);
  const others = strides.map((stride, i) => (i === axis ? 0 : stride));
  const starts = stridedOffsets(indices.shape, others);
  return starts.map((start, i) => start + frontIndex(call, indices.data[i]!, shape[axis]!) * strides[axis]!);
}

/** For each index tuple (the last axis of `indices`), where the slice it names starts in `shape`. */
export function sliceTargets(
  call: Call,
  indices: Float64Tensor,
  shape: readonly number[],
  batchDims: number,
): Float64Array {
  const depth = indices.shape.at(-1)!;
  const strides = stridesOf(shape);
  const lead = indices.shape.slice(0, -1);
  const starts = stridedOffsets(
    lead,
    lead.map((_, i) => (i < batchDims ? strides[i]! : 0)),
  );
  return starts.map((start, row) => {
    let at = start;
    for (let k = 0; k < depth; k++) {
      const axis = batchDims + k;
      at += frontIndex(call, indices.data[row * depth + k]!, shape[axis]!) * strides[axis]!;
    }
    return at;
  });
}

function gatherElements(call: Call): Float64Tensor {
  const [x, indices] = [call.input(0), call.input(1)];
  const axis = call.axis("axis", 0, x.shape.length);
  const data = elementTargets(call, indices, x.shape, axis).map((at) => x.data[at]!);
  return { dtype: x.dtype, shape: indices.shape, data };
}

function gatherND(call: Call): Float64Tensor {
  const [x, indices] = [call.input(0), call.input(1)];
  const batchDims = call.int("batch_dims", 0);
  const rest = x.shape.slice(batchDims + indices.shape.at(-1)!);
  const run = sizeOf(rest);
  const starts = sliceTargets(call, indices, x.shape, batchDims);
  const data = new Float64Array(starts.length * run);
  starts.forEach((start, i) => data.set(x.data.subarray(start, start + run), i * run));
  return { dtype: x.dtype, shape: [...indices.shape.slice(0, -1), ...rest], data };
}

/** An index out of [−depth, depth) gives a row that is all off. */
function oneHot(call: Call): Float64Tensor {
  const [indices, values] = [call.input(0), call.input(2)];
  const depth = call.numbers(1)![0]!;
  const [off, on] = values.data;
  const rank = indices.shape.length;
  const axis = call.axis("axis", -1, rank + 1);
  const data = new Float64Array(indices.data.length * depth).fill(off!);
  indices.data.forEach((index, i) => {
    const front = index < 0 ? index + depth : index;
    if (front >= 0 && front < depth) data[i * depth + front] = on!;
  });
  const last = float64Tensor([...indices.shape, depth], data, values.dtype);
  const order = [...indices.shape.keys()];
  order.splice(axis, 0, rank);
  return transposed(last, order);
}

/** The k largest or smallest of each row, best first, and their indices; of equals the first. */
function topK(call: Call): Float64Tensor[] {
  const x = call.input(0);
  const count = call.numbers(1)![0]!;
  const axis = call.axis("axis", -1, x.shape.length);
  const sign = call.int("largest", 1) === 0 ? 1 : -1;
  const order = alongAxis(x, axis, (row) => {
    const ranked = [...row.keys()].sort((i, j) => sign * (row[i]! - row[j]!) || i - j);
    row.set(ranked);
  });
  const best = takeAlong(
    order,
    axis,
    Array.from({ length: count }, (_, i) => i),
  );
  const indices: Float64Tensor = { ...best, dtype: "int64" };
  const data = elementTargets(call, indices, x.shape, axis).map((at) => x.data[at]!);
  return [{ dtype: x.dtype, shape: indices.shape, data }, indices];
}

/** `[rank, count]`: the positions of what is not zero, row-major. */
function nonZero(call: Call): Float64Tensor {
  const x = call.input(0);
  const found = [...x.data.keys()].filter((at) => x.data[at] !== 0);
  const strides = stridesOf(x.shape);
  const data = x.shape.flatMap((size, axis) => found.map((at) => Math.floor(at / strides[axis]!) % size));
  return float64Tensor([x.shape.length, found.length], data, "int64");
}

function where(call: Call): Float64Tensor {
  const inputs = [0, 1, 2].map((i) => call.input(i));
  const shape = broadcastShape(...inputs.map((input) => input.shape));
  const [choice, yes, no] = inputs.map((input) => expanded(input, shape).data);
  const data = choice!.map((c, i) => (c === 0 ? no![i]! : yes![i]!));
  return { dtype: inputs[1]!.dtype, shape, data };
}

/** Sums of all elements up to each, or with `exclusive` before it; with `reverse` from the end. */
function cumSum(call: Call): Float64Tensor {
  const x = call.input(0);
  const axis = call.front(call.numbers(1)![0]!, x.shape.length);
  const exclusive = call.int("exclusive", 0) !== 0;
  const reverse = call.int("reverse", 0) !== 0;
  return alongAxis(x, axis, (row) => {
    let sum = 0;
    for (let step = 0; step < row.length; step++) {
      const i = reverse ? row.length - 1 - step : step;
      const before = sum;
      sum += row[i]!;
      row[i] = exclusive ? before : sum;
    }
  });
}

/** Operators that read by index, or choose. */
export const indexingKernels: { readonly [op: string]: Kernel } = {
  CumSum: cumSum,
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: gatherND,
  NonZero: nonZero,
  OneHot: oneHot,
  TopK: topK,
  Where: where,
};
