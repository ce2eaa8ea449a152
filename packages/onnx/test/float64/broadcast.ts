import type { DataType } from "../../src/graph/tensor.ts";
import { readStrided } from "./strided.ts";
import { type Float64Tensor, sizeOf, stridesOf } from "./tensor.ts";

/** The shape that several shapes broadcast to, as in NumPy. */
export function broadcastShape(...shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(0, ...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, axis) => {
    let size = 1;
    for (const shape of shapes) {
      const dim = shape[axis - rank + shape.length] ?? 1;
      if (dim === 1 || dim === size) continue;
      if (size !== 1)
        throw new Error(`shapes ${shapes.map((s) => `[${s.join(", ")}]`).join(" and ")} do not broadcast`);
      size = dim;
    }
    return size;
  });
}

/** Strides that read a tensor of `shape` as one of the shape `target` that it broadcasts to. */
export function broadcastStrides(shape: readonly number[], target: readonly number[]): number[] {
  const strides = stridesOf(shape);
  const lead = target.length - shape.length;
  return target.map((_, i) => (i < lead || shape[i - lead] === 1 ? 0 : strides[i - lead]!));
}

/** The tensor repeated along its axes of size 1; throws where it does not broadcast to exactly `shape`. */
export function expanded(x: Float64Tensor, shape: readonly number[]): Float64Tensor {
  const both = broadcastShape(x.shape, shape);
  if (both.length !== shape.length || both.some((dim, i) => dim !== shape[i]))
    throw new Error(`[${x.shape.join(", ")}] does not broadcast to [${shape.join(", ")}]`);
  // As many elements means that all added axes have size 1.
  if (x.data.length === sizeOf(shape)) return { ...x, shape };
  return { dtype: x.dtype, shape, data: readStrided(x.data, shape, broadcastStrides(x.shape, shape)) };
}

/** `f` of each element. */
export function mapped(x: Float64Tensor, f: (x: number) => number, dtype: DataType = x.dtype): Float64Tensor {
  const { data } = x;
  const out = new Float64Array(data.length);
  for (let i = 0; i < out.length; i++) out[i] = f(data[i]!);
  return { dtype, shape: x.shape, data: out };
}

/** `f` of each pair of elements of two tensors that broadcast. */
export function zipped(
  a: Float64Tensor,
  b: Float64Tensor,
  f: (a: number, b: number) => number,
  dtype: DataType = a.dtype,
): Float64Tensor {
  const shape = broadcastShape(a.shape, b.shape);
  const out = new Float64Array(sizeOf(shape));
  if (b.data.length === 1 && a.data.length === out.length) {
    const right = b.data[0]!;
    for (let i = 0; i < out.length; i++) out[i] = f(a.data[i]!, right);
  } else if (a.data.length === 1 && b.data.length === out.length) {
    const left = a.data[0]!;
    for (let i = 0; i < out.length; i++) out[i] = f(left, b.data[i]!);
  } else {
    const left = expanded(a, shape).data;
    const right = expanded(b, shape).data;
    for (let i = 0; i < out.length; i++) out[i] = f(left[i]!, right[i]!);
  }
  return { dtype, shape, data: out };
}
