import { string } from "../../graph/attribute.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";

/**
 * Adds slices to zeros along one axis: `out[…, indices[i], …] += x[…, i, …]`.
 *
 * @param x `[…, n, …]`, of known rank
 * @param indices int64 `[n]`
 * @param size length of the axis in the result, int64 `[1]`
 */
export function scatterAlong<T>(ops: DiffOps<T>, x: T, axis: number, indices: T, size: T): T {
  const rank = ops.rank(x)!; // the callers have looked
  const rest = Array.from({ length: rank }, (_, i) => i).filter((i) => i !== axis);
  const front = ops.transpose(x, [axis, ...rest]);
  const shape = ops.concat([size, ...rest.map((i) => ops.sizeOf(x, i))], 0);
  const zeros = ops.call("Expand", [ops.scalar(0, x), shape]);
  const sums = ops.call("ScatterND", [zeros, ops.unsqueeze(indices, [-1]), front], {
    reduction: string("add"),
  });
  return ops.transpose(
    sums,
    Array.from({ length: rank }, (_, i) => (i === axis ? 0 : i < axis ? i + 1 : i)),
  );
}
