import { transposed } from "./strided.ts";
import { type Float64Tensor, sizeOf } from "./tensor.ts";

/** A number for a row of numbers. */
export type RowFunction = (row: Float64Array) => number;

/** Σ x. */
export const total: RowFunction = (row) => {
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i]!;
  return sum;
};

/** `f` of the elements along `axes`, which stay with size 1 where `keep` says so. */
export function reduced(
  x: Float64Tensor,
  axes: readonly number[],
  f: RowFunction,
  keep: boolean,
): Float64Tensor {
  const gone = new Set(axes);
  const kept = x.shape.map((_, axis) => axis).filter((axis) => !gone.has(axis));
  const last = x.shape.map((_, axis) => axis).filter((axis) => gone.has(axis));
  const { data } = transposed(x, [...kept, ...last]);
  const length = sizeOf(last.map((axis) => x.shape[axis]!));
  const out = new Float64Array(sizeOf(kept.map((axis) => x.shape[axis]!)));
  for (let i = 0; i < out.length; i++) out[i] = f(data.subarray(i * length, (i + 1) * length));
  const shape = keep
    ? x.shape.map((dim, axis) => (gone.has(axis) ? 1 : dim))
    : kept.map((axis) => x.shape[axis]!);
  return { dtype: x.dtype, shape, data: out };
}

/** Each row along `axis` changed in place by `f`, all in a copy. */
export function alongAxis(x: Float64Tensor, axis: number, f: (row: Float64Array) => void): Float64Tensor {
  const order = [...x.shape.keys()].filter((other) => other !== axis).concat(axis);
  const turned = transposed(x, order);
  const data = turned.data.slice();
  const length = x.shape[axis]!;
  for (let start = 0; start < data.length; start += length) f(data.subarray(start, start + length));
  return transposed(
    { ...turned, data },
    [...order.keys()].map((i) => order.indexOf(i)),
  );
}
