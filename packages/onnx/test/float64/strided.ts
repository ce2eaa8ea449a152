import { type Float64Tensor, sizeOf, stridesOf } from "./tensor.ts";

/** `out[i₀, i₁, …] = data[offset + Σ iₖ·strides[k]]`, row-major: what transposes, slices, repeats and broadcasts are. */
export function readStrided(
  data: Float64Array,
  shape: readonly number[],
  strides: readonly number[],
  offset = 0,
): Float64Array {
  const out = new Float64Array(sizeOf(shape));
  if (out.length === 0) return out;
  const [outer, inner] = innermost(shape, strides);
  const starts = stridedOffsets(outer.shape, outer.strides, offset);
  let to = 0;
  for (let row = 0; row < starts.length; row++) {
    const start = starts[row]!;
    if (inner.stride === 1) {
      out.set(data.subarray(start, start + inner.size), to);
      to += inner.size;
    } else {
      for (let i = 0; i < inner.size; i++) out[to++] = data[start + i * inner.stride]!;
    }
  }
  return out;
}

/** `offset + Σ iₖ·strides[k]` of every position of a shape, row-major. */
export function stridedOffsets(
  shape: readonly number[],
  strides: readonly number[],
  offset = 0,
): Float64Array {
  const out = new Float64Array(sizeOf(shape));
  const position = shape.map(() => 0);
  let from = offset;
  for (let to = 0; to < out.length; to++) {
    out[to] = from;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position[axis]!++;
      from += strides[axis]!;
      if (position[axis]! < shape[axis]!) break;
      from -= strides[axis]! * shape[axis]!;
      position[axis] = 0;
    }
  }
  return out;
}

/** The axes of `x` in another order: `out.shape[i] = x.shape[order[i]]`. */
export function transposed(x: Float64Tensor, order: readonly number[]): Float64Tensor {
  if (order.every((axis, i) => axis === i)) return x;
  const strides = stridesOf(x.shape);
  const shape = order.map((axis) => x.shape[axis]!);
  const data = readStrided(
    x.data,
    shape,
    order.map((axis) => strides[axis]!),
  );
  return { dtype: x.dtype, shape, data };
}

/** `out[…, i, …] = x[…, indices[i], …]`, and `fill` where an index is negative. */
export function takeAlong(
  x: Float64Tensor,
  axis: number,
  indices: ArrayLike<number>,
  fill = 0,
): Float64Tensor {
  const size = x.shape[axis]!;
  const inner = sizeOf(x.shape.slice(axis + 1));
  const outer = sizeOf(x.shape.slice(0, axis));
  const shape = x.shape.map((dim, i) => (i === axis ? indices.length : dim));
  const data = new Float64Array(sizeOf(shape)).fill(fill);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < indices.length; i++) {
      const index = indices[i]!;
      if (index >= size) throw new Error(`index ${index} is past the ${size} slices of axis ${axis}`);
      if (index < 0) continue;
      const from = (o * size + index) * inner;
      const to = (o * indices.length + i) * inner;
      for (let k = 0; k < inner; k++) data[to + k] = x.data[from + k]!;
    }
  }
  return { dtype: x.dtype, shape, data };
}

/** Neighbouring axes that walk memory as one are joined; the last of them is the inner loop. */
function innermost(
  shape: readonly number[],
  strides: readonly number[],
): [{ shape: number[]; strides: number[] }, { size: number; stride: number }] {
  const joined: { size: number; stride: number }[] = [];
  for (const [axis, size] of shape.entries()) {
    if (size === 1) continue;
    const stride = strides[axis]!;
    const last = joined.at(-1);
    if (last && last.stride === stride * size) joined[joined.length - 1] = { size: last.size * size, stride };
    else joined.push({ size, stride });
  }
  const inner = joined.pop() ?? { size: 1, stride: 1 };
  return [{ shape: joined.map(({ size }) => size), strides: joined.map(({ stride }) => stride) }, inner];
}
