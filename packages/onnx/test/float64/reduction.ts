import type { Call, Kernel } from "./call.ts";
import { reduced, type RowFunction, total } from "./rows.ts";
import { type Float64Tensor, isFloat, reshaped } from "./tensor.ts";

const folded =
  (start: number, f: (sum: number, x: number) => number): RowFunction =>
  (row) => {
    let sum = start;
    for (let i = 0; i < row.length; i++) sum = f(sum, row[i]!);
    return sum;
  };

const largest = folded(-Infinity, Math.max);
const squares = folded(0, (sum, x) => sum + x * x);

/** Shifted by the largest element, so that no exponential overflows. */
const logSumExp: RowFunction = (row) => {
  const shift = largest(row);
  if (!Number.isFinite(shift)) return shift;
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += Math.exp(row[i]! - shift);
  return shift + Math.log(sum);
};

const rowFunctions: { readonly [op: string]: RowFunction } = {
  ReduceL1: folded(0, (sum, x) => sum + Math.abs(x)),
  ReduceL2: (row) => Math.sqrt(squares(row)),
  ReduceLogSum: (row) => Math.log(total(row)),
  ReduceLogSumExp: logSumExp,
  ReduceMax: largest,
  ReduceMean: (row) => total(row) / row.length,
  ReduceMin: folded(Infinity, Math.min),
  ReduceProd: folded(1, (product, x) => product * x),
  ReduceSum: total,
  ReduceSumSquare: squares,
};

function reduce(call: Call, f: RowFunction): Float64Tensor {
  const x = call.input(0);
  const axes = call.axes(1, x.shape.length) ?? [];
  // With noop_with_empty_axes each element is a row of its own: ReduceL1 gives |x|, as in onnxruntime.
  const all = axes.length === 0 && call.int("noop_with_empty_axes", 0) === 0;
  const over = all ? [...x.shape.keys()] : axes;
  const fit = isFloat(x.dtype) ? f : (row: Float64Array): number => Math.trunc(f(row));
  return reduced(x, over, fit, call.int("keepdims", 1) !== 0);
}

/** Index of the best element along one axis: the first or the last of equals. */
function argBest(call: Call, sign: number): Float64Tensor {
  const x = call.input(0);
  const last = call.int("select_last_index", 0) !== 0;
  const f: RowFunction = (row) => {
    let best = 0;
    for (let i = 1; i < row.length; i++) {
      const lead = sign * (row[i]! - row[best]!);
      if (lead > 0 || (last && lead === 0)) best = i;
    }
    return best;
  };
  const axis = call.axis("axis", 0, x.shape.length);
  return { ...reduced(x, [axis], f, call.int("keepdims", 1) !== 0), dtype: "int64" };
}

/** Poolings over all positions. */
function globalPool(x: Float64Tensor, f: RowFunction): Float64Tensor {
  const [batch, channels, ...spatial] = x.shape as readonly [number, number, ...number[]]; // `[N, C, …]` by definition
  const pooled = reduced(reshaped(x, [batch, channels, spatial.reduce((a, b) => a * b, 1)]), [2], f, false);
  return reshaped(pooled, [batch, channels, ...spatial.map(() => 1)]);
}

/** Operators that make one number of the elements along some axes. */
export const reductionKernels: { readonly [op: string]: Kernel } = {
  ...Object.fromEntries(Object.entries(rowFunctions).map(([op, f]) => [op, (call: Call) => reduce(call, f)])),
  ArgMax: (call) => argBest(call, 1),
  ArgMin: (call) => argBest(call, -1),
  GlobalAveragePool: (call) => globalPool(call.input(0), rowFunctions["ReduceMean"]!),
  GlobalLpPool: (call) => {
    const p = call.int("p", 2);
    const powers = folded(0, (sum, x) => sum + Math.abs(x) ** p);
    return globalPool(call.input(0), (row) => powers(row) ** (1 / p));
  },
  GlobalMaxPool: (call) => globalPool(call.input(0), largest),
};
