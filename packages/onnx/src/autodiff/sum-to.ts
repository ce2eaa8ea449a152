import { int } from "../graph/attribute.ts";
import type { Dim } from "../graph/types.ts";
import { type DiffOps, sameDims } from "../operators/diff-ops.ts";

/**
 * Undoes a broadcast: sums `x` over the axes along which `like` was repeated to get its shape. Where the shapes do not say which axes
 * these are, the run finds out.
 */
export function sumTo<T>(ops: DiffOps<T>, x: T, like: T): T {
  const [from, to] = [ops.shape(x), ops.shape(like)];
  if (from && to && sameDims(from, to)) return x;
  const axes = from && to && repeatedAxes(from, to);
  if (!axes) return sumAtRun(ops, x, like);
  if (axes.length === 0) return x;
  const lead = from.length - to.length;
  const onlyLead = axes.every((axis) => axis < lead);
  const summed = ops.sum(x, axes, !onlyLead);
  if (onlyLead || lead === 0) return summed;
  return ops.squeeze(
    summed,
    Array.from({ length: lead }, (_, axis) => axis),
  );
}

/**
 * The axes of `from` along which `to` was repeated; `undefined` where that is not known: for a size without name, and for two
 * names, one of which may turn out to be 1.
 */
function repeatedAxes(from: readonly Dim[], to: readonly Dim[]): number[] | undefined {
  const lead = from.length - to.length;
  if (lead < 0) return undefined;
  const axes: number[] = [];
  for (const [axis, size] of from.entries()) {
    const own = axis < lead ? 1 : to[axis - lead];
    const open = typeof own !== "number" && own !== size;
    if (open && size !== 1) return undefined;
    if (axis < lead || (own === 1 && size !== 1)) axes.push(axis);
  }
  return axes;
}

function sumAtRun<T>(ops: DiffOps<T>, x: T, like: T): T {
  const [size, wanted] = [ops.shapeOf(x), ops.shapeOf(like)];
  const lead = ops.sub(ops.call("Shape", [size]), ops.call("Shape", [wanted]));
  const padded = ops.concat([ops.call("Expand", [ops.int64([1]), lead]), wanted], 0);
  const differs = ops.call("Not", [ops.call("Equal", [size, padded])]);
  const axes = ops.squeeze(ops.call("NonZero", [differs]), [0]);
  const summed = ops.call("ReduceSum", [x, axes], { noop_with_empty_axes: int(1) });
  return ops.call("Reshape", [summed, wanted]);
}
