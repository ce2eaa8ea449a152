/** A least-squares problem with groups of columns. */
export interface GroupLassoProblem {
  /** X, row-major `[rows, columns]`. */
  readonly design: Float64Array;
  /** y, `[rows]`. */
  readonly targets: Float64Array;
  /** Columns of each group; every column is in one group. */
  readonly groups: readonly (readonly number[])[];
  readonly lambda: number;
  /** s_j, 1 if left out. */
  readonly weights?: readonly number[];
}

/** Solution of a group lasso. */
export interface GroupLassoSolution {
  readonly weights: Float64Array;
  /** Groups that are not zero. */
  readonly support: readonly number[];
  /** Sweeps over all groups until nothing moved any more. */
  readonly sweeps: number;
}

/**
 * Solves `min_w ‖Xw − y‖² / (2·rows) + λ Σ_j s_j ‖w_j‖₂` by exact block coordinate descent (Yuan and Lin 2006), to
 * float64 rounding. Knows nothing of gates: the reference that D = 2 must reach.
 */
export function solveGroupLasso(problem: GroupLassoProblem): GroupLassoSolution {
  const { gram, correlation } = normalEquations(problem.design, problem.targets);
  const columns = correlation.length;
  const weights = new Float64Array(columns);
  // X'(y − Xw)/rows, kept up to date.
  const residual = correlation.slice();
  for (let sweeps = 1; sweeps <= 10_000; sweeps += 1) {
    let moved = 0;
    problem.groups.forEach((group, j) => {
      const local = group.map((a) => group.map((b) => gram[a * columns + b]!));
      const right = group.map(
        (a, k) => residual[a]! + group.reduce((sum, b, l) => sum + local[k]![l]! * weights[b]!, 0),
      );
      const next = solveBlock(local, right, problem.lambda * (problem.weights?.[j] ?? 1));
      group.forEach((column, k) => {
        const change = next[k]! - weights[column]!;
        if (change === 0) return;
        moved = Math.max(moved, Math.abs(change));
        weights[column] = next[k]!;
        for (let i = 0; i < columns; i += 1) residual[i]! -= gram[i * columns + column]! * change;
      });
    });
    if (moved < 1e-14) {
      const support = problem.groups.flatMap((group, j) => (group.some((c) => weights[c] !== 0) ? [j] : []));
      return { weights, support, sweeps };
    }
  }
  throw new Error("solveGroupLasso: no convergence in 10000 sweeps");
}

/** `G = X'X / rows` (row-major) and `c = X'y / rows`. */
export function normalEquations(
  design: Float64Array,
  targets: Float64Array,
): { gram: Float64Array; correlation: Float64Array } {
  const rows = targets.length;
  const columns = design.length / rows;
  const gram = new Float64Array(columns * columns);
  const correlation = new Float64Array(columns);
  for (let r = 0; r < rows; r += 1) {
    const row = design.subarray(r * columns, (r + 1) * columns);
    for (let a = 0; a < columns; a += 1) {
      correlation[a]! += (row[a]! * targets[r]!) / rows;
      for (let b = 0; b < columns; b += 1) gram[a * columns + b]! += (row[a]! * row[b]!) / rows;
    }
  }
  return { gram, correlation };
}

/**
 * `argmin_w ½ w'Gw − b'w + t‖w‖₂`: 0 if ‖b‖ ≤ t; else `w = n (nG + tI)⁻¹ b` with n = ‖w‖ the root of
 * `‖(nG + tI)⁻¹ b‖ = 1`, which falls with n.
 */
function solveBlock(gram: readonly (readonly number[])[], b: readonly number[], t: number): number[] {
  const norm = Math.hypot(...b);
  if (norm <= t) return b.map(() => 0);
  const direction = (n: number): number[] =>
    solvePositive(
      gram.map((row, i) => row.map((value, k) => n * value + (i === k ? t : 0))),
      b,
    );
  let low = 0;
  let high = 1;
  while (Math.hypot(...direction(high)) > 1) high *= 2;
  for (let step = 0; step < 200 && low < high; step += 1) {
    const middle = (low + high) / 2;
    if (middle === low || middle === high) break;
    if (Math.hypot(...direction(middle)) > 1) low = middle;
    else high = middle;
  }
  return direction(high).map((value) => high * value);
}

/** Solves a small positive definite system by Cholesky factorisation. */
function solvePositive(matrix: readonly (readonly number[])[], b: readonly number[]): number[] {
  const n = b.length;
  const lower = matrix.map((row) => [...row]);
  const x = [...b];
  for (let i = 0; i < n; i += 1) {
    for (let k = 0; k <= i; k += 1) {
      let sum = matrix[i]![k]!;
      for (let l = 0; l < k; l += 1) sum -= lower[i]![l]! * lower[k]![l]!;
      lower[i]![k] = i === k ? Math.sqrt(sum) : sum / lower[k]![k]!;
    }
  }
  for (let i = 0; i < n; i += 1) {
    for (let k = 0; k < i; k += 1) x[i]! -= lower[i]![k]! * x[k]!;
    x[i]! /= lower[i]![i]!;
  }
  for (let i = n - 1; i >= 0; i -= 1) {
    for (let k = i + 1; k < n; k += 1) x[i]! -= lower[k]![i]! * x[k]!;
    x[i]! /= lower[i]![i]!;
  }
  return x;
}
