/** A row-major matrix inside an array: element (i, t) is `data[offset + i·stride + t]`. */
export interface Rows {
  readonly data: Float64Array;
  readonly offset: number;
  readonly stride: number;
  readonly rows: number;
}

/** Columns that are multiplied in one sweep, so that a pair of rows stays in the first-level cache. */
const sweep = 512;

/**
 * out[i, j] += sign · Σ_{t < depth} a[i, t] · b[j, t], all in float64: the product A·Bᵀ, of which the Gram matrix, the
 * trailing update of a Cholesky factor and the product with a symmetric matrix are cases.
 *
 * Two rows by two rows at a time, which halves the loads; V8 keeps the four sums in registers.
 *
 * @param lower only j ≤ i is needed (a little more may be computed)
 */
export function addProducts(
  out: Rows,
  a: Rows,
  b: Rows,
  depth: number,
  { sign = 1, lower = false }: { readonly sign?: 1 | -1; readonly lower?: boolean } = {},
): void {
  for (let from = 0; from < depth; from += sweep) {
    const to = Math.min(depth, from + sweep);
    for (let i = 0; i < a.rows; i += 2) {
      const last = lower ? Math.min(b.rows, i + 2) : b.rows;
      for (let j = 0; j < last; j += 2) addPair(out, a, b, i, j, from, to, sign);
    }
  }
}

/** The 2 × 2 block at (i, j). Where a matrix ends on an odd row, that row stands in for the missing one and is not stored. */
function addPair(
  out: Rows,
  a: Rows,
  b: Rows,
  i: number,
  j: number,
  from: number,
  to: number,
  sign: number,
): void {
  const x = a.data;
  const y = b.data;
  const pairI = i + 1 < a.rows;
  const pairJ = j + 1 < b.rows;
  const a0 = a.offset + i * a.stride;
  const a1 = pairI ? a0 + a.stride : a0;
  const b0 = b.offset + j * b.stride;
  const b1 = pairJ ? b0 + b.stride : b0;
  let s00 = 0;
  let s01 = 0;
  let s10 = 0;
  let s11 = 0;
  for (let t = from; t < to; t++) {
    const x0 = x[a0 + t]!;
    const x1 = x[a1 + t]!;
    const y0 = y[b0 + t]!;
    const y1 = y[b1 + t]!;
    s00 += x0 * y0;
    s01 += x0 * y1;
    s10 += x1 * y0;
    s11 += x1 * y1;
  }
  const { data, stride } = out;
  const at = out.offset + i * stride + j;
  data[at]! += sign * s00;
  if (pairJ) data[at + 1]! += sign * s01;
  if (pairI) data[at + stride]! += sign * s10;
  if (pairI && pairJ) data[at + stride + 1]! += sign * s11;
}
