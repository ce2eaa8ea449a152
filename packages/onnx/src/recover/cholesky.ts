import { addProducts, type Rows } from "./products.ts";

/** Columns of a block: its rows fit the first-level cache. */
const blockSize = 48;

/**
 * Cholesky factor of a symmetric positive definite matrix, in place: A = L·Lᵀ with L in the lower triangle (the upper one is
 * spoilt). Left-looking by blocks of columns (Golub and Van Loan, Matrix Computations, §4.2).
 *
 * @param matrix `[n, n]` row-major; only the lower triangle is read
 * @returns whether the matrix is positive definite: every pivot is above n·ε of its diagonal element. If not, the matrix is spoilt.
 */
export function factorise(matrix: Float64Array, n: number): boolean {
  const diagonal = Float64Array.from({ length: n }, (_, i) => matrix[i * n + i]!);
  const tolerance = n * Number.EPSILON;
  for (let from = 0; from < n; from += blockSize) {
    const to = Math.min(n, from + blockSize);
    const below: Rows = { data: matrix, offset: from * n, stride: n, rows: n - from };
    const block: Rows = { data: matrix, offset: from * n, stride: n, rows: to - from };
    // The columns of this block, less what the columns before them explain.
    addProducts({ ...below, offset: from * n + from }, below, block, from, { sign: -1 });
    for (let j = from; j < to; j++) {
      const pivot = matrix[j * n + j]! - dot(matrix, j * n, j * n, from, j);
      if (!(pivot > tolerance * diagonal[j]!)) return false;
      const root = Math.sqrt(pivot);
      matrix[j * n + j] = root;
      for (let i = j + 1; i < n; i++) {
        matrix[i * n + j] = (matrix[i * n + j]! - dot(matrix, i * n, j * n, from, j)) / root;
      }
    }
  }
  return true;
}

/** Right-hand sides that are solved side by side: each row of L is read once for all of them. */
const sideBySide = 16;

/**
 * Solves L·Lᵀ·x = r for each row r of `rows`, in place.
 *
 * @param factor `[n, n]`, as `factorise` leaves it
 * @param rows `[count, n]` row-major
 */
export function solveFactored(factor: Float64Array, n: number, rows: Float64Array): void {
  const count = rows.length / n;
  for (let first = 0; first < count; first += sideBySide) {
    const last = Math.min(count, first + sideBySide);
    for (let i = 0; i < n; i++) {
      for (let r = first; r < last; r++) {
        const at = r * n;
        let sum = rows[at + i]!;
        for (let t = 0; t < i; t++) sum -= factor[i * n + t]! * rows[at + t]!;
        rows[at + i] = sum / factor[i * n + i]!;
      }
    }
    for (let i = n - 1; i >= 0; i--) {
      for (let r = first; r < last; r++) {
        const at = r * n;
        const x = rows[at + i]! / factor[i * n + i]!;
        rows[at + i] = x;
        for (let t = 0; t < i; t++) rows[at + t]! -= x * factor[i * n + t]!;
      }
    }
  }
}

function dot(matrix: Float64Array, a: number, b: number, from: number, to: number): number {
  let sum = 0;
  for (let t = from; t < to; t++) sum += matrix[a + t]! * matrix[b + t]!;
  return sum;
}
