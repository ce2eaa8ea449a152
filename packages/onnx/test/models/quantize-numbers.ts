/** Codes of a tensor with the scales and zero points of its runs. */
export interface Quantized {
  readonly codes: number[];
  readonly scales: number[];
  readonly zeroPoints: number[];
}

/** Integers of a type: `[lowest, highest]`. */
export type CodeRange = readonly [low: number, high: number];

export const codeRanges = {
  int8: [-128, 127],
  uint8: [0, 255],
  int4: [-8, 7],
  uint4: [0, 15],
} as const satisfies Record<string, CodeRange>;

/** Scale and zero point for real numbers from `low` to `high`, zero included; symmetric ones have their zero in the middle. */
export function affine(
  low: number,
  high: number,
  [first, last]: CodeRange,
  symmetric = false,
): { scale: number; zeroPoint: number } {
  if (symmetric) {
    const middle = first < 0 ? 0 : (first + last + 1) / 2;
    const bound = Math.max(Math.abs(low), Math.abs(high)) || 1;
    return { scale: Math.fround(bound / (last - middle)), zeroPoint: middle };
  }
  const [from, to] = [Math.min(0, low), Math.max(0, high)];
  const scale = Math.fround((to - from || 1) / (last - first));
  return { scale, zeroPoint: Math.min(last, Math.max(first, Math.round(first - from / scale))) };
}

/**
 * Quantizes runs of a tensor: `runOf(i)` says to which of `runs` runs element i belongs, each with a scale and a zero point of
 * its own.
 */
export function quantizeRuns(
  numbers: ArrayLike<number>,
  runs: number,
  runOf: (element: number) => number,
  range: CodeRange,
  symmetric: boolean,
): Quantized {
  const low = Array.from({ length: runs }, () => 0);
  const high = Array.from({ length: runs }, () => 0);
  for (let i = 0; i < numbers.length; i++) {
    const run = runOf(i);
    low[run] = Math.min(low[run]!, numbers[i]!);
    high[run] = Math.max(high[run]!, numbers[i]!);
  }
  const found = low.map((from, run) => affine(from, high[run]!, range, symmetric));
  const codes = Array.from(numbers, (number, i) => {
    const { scale, zeroPoint } = found[runOf(i)]!;
    return Math.min(range[1], Math.max(range[0], Math.round(number / scale) + zeroPoint));
  });
  return {
    codes,
    scales: found.map(({ scale }) => scale),
    zeroPoints: found.map(({ zeroPoint }) => zeroPoint),
  };
}

/** The run of each element: one for the tensor, one per index of an axis, or one per block of an axis. */
export function runsOf(
  shape: readonly number[],
  axis: number | undefined,
  blockSize = 0,
): { readonly shape: number[]; readonly runOf: (element: number) => number } {
  if (axis === undefined) return { shape: [], runOf: () => 0 };
  const size = shape[axis]!;
  const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
  const at = (element: number): number => Math.floor(element / inner) % size;
  if (blockSize === 0) return { shape: [size], runOf: at };
  const blocks = Math.ceil(size / blockSize);
  return {
    shape: shape.with(axis, blocks),
    runOf: (element) => {
      const outer = Math.floor(element / (inner * size));
      return (outer * blocks + Math.floor(at(element) / blockSize)) * inner + (element % inner);
    },
  };
}
