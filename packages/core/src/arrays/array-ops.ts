import { sameShape, sizeOf } from "../check.ts";
import { DgateError } from "../errors.ts";
import type { TensorOps } from "../tensor-ops.ts";
import { broadcastShape, broadcastStrides, offsets } from "./broadcast.ts";
import { type FloatArray, type FloatType, type NdArray, ndArray } from "./nd-array.ts";

/**
 * The reference binding of `TensorOps`, on Float64Array or Float32Array. Sums are accumulated in float64; with
 * `float32` each result is rounded once, when it is stored.
 */
export function arrayOps(dtype: FloatType): TensorOps<NdArray> {
  const create = (size: number): FloatArray =>
    dtype === "float64" ? new Float64Array(size) : new Float32Array(size);
  const map = (x: NdArray, f: (value: number) => number): NdArray => {
    const data = create(x.data.length);
    for (let i = 0; i < data.length; i += 1) data[i] = f(x.data[i]!);
    return { shape: x.shape, data };
  };
  const zip = (a: NdArray, b: NdArray, f: (a: number, b: number) => number): NdArray =>
    zipBroadcast(a, b, f, create);
  const rounded = (values: ArrayLike<number>, shape: readonly number[]): NdArray => {
    const data = create(values.length);
    data.set(values);
    return ndArray(data, shape);
  };
  return {
    shapeOf: (x) => x.shape,
    scalar: (value) => map({ shape: [], data: Float64Array.of(value) }, (v) => v),
    constant: (values, shape) => rounded(values, shape),
    add: (a, b) => zip(a, b, (x, y) => x + y),
    sub: (a, b) => zip(a, b, (x, y) => x - y),
    mul: (a, b) => zip(a, b, (x, y) => x * y),
    div: (a, b) => zip(a, b, (x, y) => x / y),
    scale: (x, factor) => map(x, (v) => v * factor),
    square: (x) => map(x, (v) => v * v),
    sqrt: (x) => map(x, Math.sqrt),
    abs: (x) => map(x, Math.abs),
    pow: (x, exponent) => map(x, (v) => v ** exponent),
    sum: (x, axes) => rounded(sumOver(x, axes), axes ? x.shape.filter((_, k) => !axes.includes(k)) : []),
    reshape: (x, shape) => ndArray(x.data, shape),
    gather: (x, indices) => gatherRows(x, indices, create),
    segmentSum: (x, segments, count) => rounded(segmentSums(x, segments, count), [count]),
  };
}

function zipBroadcast(
  a: NdArray,
  b: NdArray,
  f: (a: number, b: number) => number,
  create: (size: number) => FloatArray,
): NdArray {
  if (sameShape(a.shape, b.shape)) {
    const data = create(a.data.length);
    for (let i = 0; i < data.length; i += 1) data[i] = f(a.data[i]!, b.data[i]!);
    return { shape: a.shape, data };
  }
  const shape = broadcastShape(a.shape, b.shape);
  const fromA = offsets(shape, broadcastStrides(a.shape, shape.length));
  const fromB = offsets(shape, broadcastStrides(b.shape, shape.length));
  const data = create(fromA.length);
  for (let i = 0; i < data.length; i += 1) data[i] = f(a.data[fromA[i]!]!, b.data[fromB[i]!]!);
  return { shape, data };
}

function sumOver(x: NdArray, axes?: readonly number[]): Float64Array {
  const outside = axes?.find((axis) => !(axis in x.shape));
  if (outside !== undefined) {
    throw new DgateError("SHAPE", `sum: axis ${outside} is not an axis of shape [${x.shape.join(", ")}].`);
  }
  // Summed axes become size 1, hence stride 0: their elements meet at the same place.
  const kept = x.shape.map((size, axis) => (axes && !axes.includes(axis) ? size : 1));
  const to = offsets(x.shape, broadcastStrides(kept, kept.length));
  const sums = new Float64Array(sizeOf(kept));
  for (let i = 0; i < to.length; i += 1) sums[to[i]!]! += x.data[i]!;
  return sums;
}

function gatherRows(x: NdArray, indices: readonly number[], create: (size: number) => FloatArray): NdArray {
  const [rows = 1, ...rest] = x.shape;
  const width = sizeOf(rest);
  const data = create(indices.length * width);
  indices.forEach((from, to) => {
    if (!(from >= 0 && from < rows)) {
      throw new DgateError("SHAPE", `gather: index ${from} is outside axis 0 of length ${rows}.`);
    }
    data.set(x.data.subarray(from * width, (from + 1) * width), to * width);
  });
  return ndArray(data, [indices.length, ...rest]);
}

function segmentSums(x: NdArray, segments: readonly number[], count: number): Float64Array {
  if (x.shape.length !== 1 || segments.length !== x.data.length) {
    throw new DgateError(
      "SHAPE",
      `segmentSum: ${segments.length} segments for shape [${x.shape.join(", ")}], expected one for each value.`,
    );
  }
  const sums = new Float64Array(count);
  segments.forEach((segment, i) => {
    if (segment >= count) {
      throw new DgateError("SHAPE", `segmentSum: segment ${segment} is outside the ${count} segments.`);
    }
    if (segment >= 0) sums[segment]! += x.data[i]!;
  });
  return sums;
}
