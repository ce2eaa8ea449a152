import { sizeOf } from "../check.ts";
import { DgateError } from "../errors.ts";

/** Shape of the result when `a` and `b` broadcast against each other as in NumPy; throws `SHAPE` if they do not. */
export function broadcastShape(a: readonly number[], b: readonly number[]): number[] {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, axis) => {
    const sizeA = a[axis - rank + a.length] ?? 1;
    const sizeB = b[axis - rank + b.length] ?? 1;
    if (sizeA === sizeB || sizeB === 1) return sizeA;
    if (sizeA === 1) return sizeB;
    throw new DgateError(
      "SHAPE",
      `shapes [${a.join(", ")}] and [${b.join(", ")}] do not broadcast: ${sizeA} and ${sizeB} meet at axis ${axis}.`,
    );
  });
}

/** Row-major strides of `shape` aligned to the right of `rank` axes; 0 where an axis is missing or of size 1. */
export function broadcastStrides(shape: readonly number[], rank: number): number[] {
  const strides = Array.from({ length: rank }, () => 0);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    if (shape[axis]! > 1) strides[axis + rank - shape.length] = step;
    step *= shape[axis]!;
  }
  return strides;
}

/**
 * Offsets of all elements of a tensor of `shape` under `strides`, in row-major order: the element with index
 * `(i_0, …)` lies at `Σ_k i_k · strides[k]`.
 */
export function offsets(shape: readonly number[], strides: readonly number[]): Int32Array {
  const result = new Int32Array(sizeOf(shape));
  // From the innermost axis outwards: each axis repeats what is there, moved by its stride.
  let filled = 1;
  for (let axis = shape.length - 1; axis >= 0; axis -= 1) {
    const end = filled * shape[axis]!;
    for (let i = filled; i < end; i += 1) result[i] = result[i - filled]! + strides[axis]!;
    filled = end;
  }
  return result;
}
