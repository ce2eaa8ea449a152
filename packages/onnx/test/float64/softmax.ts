import type { Kernel } from "./call.ts";
import { alongAxis } from "./rows.ts";

function largest(row: Float64Array): number {
  let best = -Infinity;
  for (let i = 0; i < row.length; i++) best = Math.max(best, row[i]!);
  return best;
}

/** softmax(x) = exp(x − max) / Σ exp(x − max). */
function softmaxRow(row: Float64Array): void {
  const shift = largest(row);
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += row[i] = Math.exp(row[i]! - shift);
  for (let i = 0; i < row.length; i++) row[i]! /= sum;
}

/** log softmax(x) = x − max − log Σ exp(x − max). */
function logSoftmaxRow(row: Float64Array): void {
  const shift = largest(row);
  let sum = 0;
  for (let i = 0; i < row.length; i++) sum += Math.exp(row[i]! - shift);
  const log = shift + Math.log(sum);
  for (let i = 0; i < row.length; i++) row[i]! -= log;
}

/** 1 at the first largest element, else 0. */
function hardmaxRow(row: Float64Array): void {
  const at = row.indexOf(largest(row));
  row.fill(0);
  row[at] = 1;
}

const along =
  (f: (row: Float64Array) => void): Kernel =>
  (call) => {
    const x = call.input(0);
    return alongAxis(x, call.axis("axis", -1, x.shape.length), f);
  };

/** Operators that weigh the elements along one axis against each other, in their form since operator set 13. */
export const softmaxKernels: { readonly [op: string]: Kernel } = {
  Hardmax: along(hardmaxRow),
  LogSoftmax: along(logSoftmaxRow),
  Softmax: along(softmaxRow),
};
