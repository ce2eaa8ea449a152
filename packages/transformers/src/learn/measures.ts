import type { EncodedBatch } from "../data/feeds.ts";

/** The rows of an output `[examples, …, width]` that count: so many for each example, or one for each token that is no padding. */
export function rowsOf(
  values: Float32Array,
  { examples, length }: EncodedBatch,
  { perToken, rows = 1 }: { readonly perToken: boolean; readonly rows?: number },
): Float32Array[] {
  const each = perToken ? tokensPerExample(values, examples.length, length) : rows;
  const width = values.length / (each * examples.length);
  return examples.flatMap(({ tokens }, e) => {
    const real = perToken ? Math.min(each, tokens["input_ids"]?.length ?? each) : each;
    return Array.from({ length: real }, (_, t) =>
      values.subarray((e * each + t) * width, (e * each + t + 1) * width),
    );
  });
}

/** Tokens of an example: those of the batch; a model of images has its own number, which is one row for all here. */
const tokensPerExample = (values: Float32Array, examples: number, length: number): number =>
  values.length % (examples * length) === 0 ? length : 1;

/** Index of the largest element, the first of equals. */
export function argmax(row: Float32Array): number {
  let best = 0;
  for (let i = 1; i < row.length; i++) if (row[i]! > row[best]!) best = i;
  return best;
}

/** Kullback–Leibler divergence `Σ p·(log p − log q)` of the distributions softmax(p) and softmax(q), in nats. */
export function rowDivergence(p: Float32Array, q: Float32Array): number {
  const [normP, normQ] = [logNorm(p), logNorm(q)];
  let sum = 0;
  for (let i = 0; i < p.length; i++) {
    const log = p[i]! - normP;
    sum += Math.exp(log) * (log - (q[i]! - normQ));
  }
  return sum;
}

/** `−log softmax(row)[label]`, in nats. */
export const rowLoss = (row: Float32Array, label: number): number => logNorm(row) - row[label]!;

/** `log Σ e^x` */
function logNorm(row: Float32Array): number {
  let largest = -Infinity;
  for (const x of row) largest = Math.max(largest, x);
  let sum = 0;
  for (const x of row) sum += Math.exp(x - largest);
  return Math.log(sum) + largest;
}

/** Cosine of the angle between two rows; 0 where one of them is zero. */
export function cosine(a: Float32Array, b: Float32Array): number {
  let [dot, aa, bb] = [0, 0, 0];
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!, b[i]!];
    dot += x * y;
    aa += x * x;
    bb += y * y;
  }
  return dot / (Math.sqrt(aa * bb) || 1);
}

/** Mean of the squared differences of two rows. */
export function meanSquare(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += (a[i]! - b[i]!) ** 2;
  return sum / a.length;
}

/** Cross-entropy of every token but the first of each example, from the logits of the token before, in nats. */
export function nextTokenLoss(rows: readonly Float32Array[], { examples }: EncodedBatch): number[] {
  const losses: number[] = [];
  let at = 0;
  for (const { tokens } of examples) {
    const ids = tokens["input_ids"] ?? [];
    ids.forEach((_, t) => {
      const next = ids[t + 1];
      if (next !== undefined) losses.push(rowLoss(rows[at + t]!, next));
    });
    at += ids.length;
  }
  return losses;
}

/** Cosines of all pairs of rows: the upper triangle, row by row. */
export function similarities(rows: readonly Float32Array[]): Float64Array {
  const unit = rows.map((row) => {
    const length = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0)) || 1;
    return row.map((x) => x / length);
  });
  const found: number[] = [];
  unit.forEach((a, i) => {
    for (const b of unit.slice(i + 1)) found.push(a.reduce((sum, x, k) => sum + x * b[k]!, 0));
  });
  return Float64Array.from(found);
}

/** Spearman's rank correlation: Pearson's, of the ranks; equal values share their mean rank. 1 of fewer than two values. */
export function rankCorrelation(a: ArrayLike<number>, b: ArrayLike<number>): number {
  if (a.length < 2) return 1;
  const [x, y] = [ranks(a), ranks(b)];
  const middle = (a.length - 1) / 2;
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = 0; i < x.length; i++) {
    const [dx, dy] = [x[i]! - middle, y[i]! - middle];
    xy += dx * dy;
    xx += dx * dx;
    yy += dy * dy;
  }
  return xx === 0 || yy === 0 ? Number(xx === yy) : xy / Math.sqrt(xx * yy);
}

function ranks(values: ArrayLike<number>): Float64Array {
  const order = Array.from({ length: values.length }, (_, i) => i).sort((i, j) => values[i]! - values[j]!);
  const found = new Float64Array(values.length);
  for (let from = 0; from < order.length; ) {
    let to = from;
    while (to + 1 < order.length && values[order[to + 1]!] === values[order[from]!]) to += 1;
    for (let k = from; k <= to; k++) found[order[k]!] = (from + to) / 2;
    from = to + 1;
  }
  return found;
}
