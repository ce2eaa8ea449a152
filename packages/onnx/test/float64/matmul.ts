import { broadcastShape, broadcastStrides } from "./broadcast.ts";
import { stridedOffsets } from "./strided.ts";
import { type Float64Tensor, sizeOf } from "./tensor.ts";

/** Where one product of matrices lies in its arrays. */
interface Block {
  readonly rows: number;
  readonly inner: number;
  readonly columns: number;
}

/** `out += a · b` for row-major matrices `[rows, inner] · [inner, columns]`, each given by its own array or a view on one. */
export function multiplyAdd(
  a: Float64Array,
  b: Float64Array,
  out: Float64Array,
  { rows, inner, columns }: Block,
): void {
  for (let i = 0; i < rows; i++) {
    const to = i * columns;
    let k = 0;
    // Four rows of b at a time: a fourth of the passes over the row of out.
    for (; k + 4 <= inner; k += 4) {
      const at = i * inner + k;
      const [a0, a1, a2, a3] = [a[at]!, a[at + 1]!, a[at + 2]!, a[at + 3]!];
      const b0 = k * columns;
      const b1 = b0 + columns;
      const b2 = b1 + columns;
      const b3 = b2 + columns;
      for (let j = 0; j < columns; j++)
        out[to + j]! += a0 * b[b0 + j]! + a1 * b[b1 + j]! + a2 * b[b2 + j]! + a3 * b[b3 + j]!;
    }
    for (; k < inner; k++) {
      const factor = a[i * inner + k]!;
      const from = k * columns;
      for (let j = 0; j < columns; j++) out[to + j]! += factor * b[from + j]!;
    }
  }
}

/** NumPy's matmul: `[…, rows, inner] · […, inner, columns]`, where a vector is a row on the left, a column on the right. */
export function matmul(a: Float64Tensor, b: Float64Tensor): Float64Tensor {
  const left = a.shape.length === 1 ? [1, ...a.shape] : a.shape;
  const right = b.shape.length === 1 ? [...b.shape, 1] : b.shape;
  const [rows, inner] = left.slice(-2) as [number, number]; // both shapes have at least two axes now
  const [depth, columns] = right.slice(-2) as [number, number];
  if (inner !== depth) throw new Error(`[${left.join(", ")}] · [${right.join(", ")}] do not fit`);
  const batch = broadcastShape(left.slice(0, -2), right.slice(0, -2));
  const starts = (shape: readonly number[]): Float64Array =>
    stridedOffsets(batch, broadcastStrides(shape.slice(0, -2), batch));
  const [leftStarts, rightStarts] = [starts(left), starts(right)];
  const data = new Float64Array(sizeOf(batch) * rows * columns);
  for (let n = 0; n < leftStarts.length; n++) {
    const x = a.data.subarray(leftStarts[n]! * rows * inner, (leftStarts[n]! + 1) * rows * inner);
    const y = b.data.subarray(rightStarts[n]! * inner * columns, (rightStarts[n]! + 1) * inner * columns);
    const out = data.subarray(n * rows * columns, (n + 1) * rows * columns);
    multiplyAdd(x, y, out, { rows, inner, columns });
  }
  const shape = [
    ...batch,
    ...(a.shape.length === 1 ? [] : [rows]),
    ...(b.shape.length === 1 ? [] : [columns]),
  ];
  return { dtype: a.dtype, shape, data };
}
