import type { Float64Tensor } from "../float64/tensor.ts";

/** Rows of a tensor along its last axis. */
export function rowsOf({ shape, data }: Float64Tensor): number[][] {
  const width = shape.at(-1)!;
  return Array.from({ length: data.length / width }, (_, r) =>
    Array.from(data.subarray(r * width, (r + 1) * width)),
  );
}

const sum = (numbers: readonly number[]): number => numbers.reduce((a, b) => a + b, 0);

function logSoftmax(row: readonly number[], temperature = 1): number[] {
  const scaled = row.map((x) => x / temperature);
  const top = Math.max(...scaled);
  const total = top + Math.log(sum(scaled.map((x) => Math.exp(x - top))));
  return scaled.map((x) => x - total);
}

/** Mean of −log softmax(row)[label] over the rows whose label is not `ignore`. */
export function plainCrossEntropy(
  rows: readonly number[][],
  labels: readonly number[],
  ignore = -100,
): number {
  const terms = rows.flatMap((row, r) => (labels[r] === ignore ? [] : [-logSoftmax(row)[labels[r]!]!]));
  return sum(terms) / Math.max(1, terms.length);
}

/** Cross-entropy of each position's logits with the token after it, where that token's mask is not 0. */
export function plainNextToken(
  rows: readonly number[][],
  tokens: readonly number[],
  positions: number,
  mask: readonly number[] = tokens.map(() => 1),
  ignore = -100,
): number {
  const inner = rows.flatMap((_, r) => ((r + 1) % positions === 0 ? [] : [r]));
  const labels = inner.map((r) => (mask[r + 1] === 0 ? ignore : tokens[r + 1]!));
  return plainCrossEntropy(
    inner.map((r) => rows[r]!),
    labels,
    ignore,
  );
}

/** Mean of the squared differences, over the rows whose mask is not 0. */
export function plainSquares(
  rows: readonly number[][],
  targets: readonly number[][],
  mask: readonly number[] = rows.map(() => 1),
): number {
  const terms = rows.flatMap((row, r) =>
    mask[r] === 0 ? [] : row.map((x, i) => (x - targets[r]![i]!) ** 2),
  );
  return sum(terms) / Math.max(1, terms.length);
}

/** T²·KL(softmax(teacher/T) ‖ softmax(row/T)), mean over the rows whose mask is not 0. */
export function plainKl(
  rows: readonly number[][],
  teacher: readonly number[][],
  temperature: number,
  mask: readonly number[] = rows.map(() => 1),
): number {
  const terms = rows.flatMap((row, r) => {
    if (mask[r] === 0) return [];
    const [q, p] = [logSoftmax(row, temperature), logSoftmax(teacher[r]!, temperature)];
    return [sum(p.map((logP, i) => Math.exp(logP) * (logP - q[i]!)))];
  });
  return (temperature ** 2 * sum(terms)) / Math.max(1, terms.length);
}
