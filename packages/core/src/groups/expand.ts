import { sameShape, sizeOf } from "../check.ts";
import type { TensorOps } from "../tensor-ops.ts";
import { type GroupFrame, type GroupLayout, groupFrame } from "./layout.ts";

/**
 * Spreads one value per group over the elements of the groups: `out[i] = perGroup[group of i]`.
 *
 * @param perGroup `[groups]`
 * @param ungated value at elements of no group (−1 in an assignment); 1 for gates, 0 for penalties
 * @returns a tensor that broadcasts against one of `shape`; axes on the left may be missing
 */
export function expandGroups<T>(
  ops: TensorOps<T>,
  layout: GroupLayout,
  shape: readonly number[],
  perGroup: T,
  ungated = 1,
): T {
  if (layout.kind === "assignment") return expandAssignment(ops, layout.assignment, shape, perGroup, ungated);
  if (layout.kind === "indices") {
    const { axis, assignment } = layout;
    const along = expandAssignment(ops, assignment, [shape[axis]!], perGroup, ungated);
    return reshaped(ops, along, [shape[axis]!, ...shape.slice(axis + 1).fill(1)]);
  }
  const frame = groupFrame(layout, shape)!;
  if (layout.kind !== "blocks" || layout.blockSize === 1) {
    const sizes = frame.shape.map((n, k) => (frame.kept.includes(k) ? n : 1));
    const spread = reshaped(ops, perGroup, withoutLeadingOnes(sizes));
    return sizeOf(frame.shape) === 1 ? ops.reshape(spread, shape) : spread;
  }
  // Times ones rather than gather: its derivative is a plain sum, which every backend has.
  const { axis, blockSize } = layout;
  const groups = frame.shape[axis]!;
  const ones = ops.constant(
    Array.from({ length: blockSize }, () => 1),
    [1, blockSize],
  );
  const repeated = ops.mul(ops.reshape(perGroup, [groups, 1]), ones);
  return ops.reshape(repeated, [shape[axis]!, ...shape.slice(axis + 1).fill(1)]);
}

function expandAssignment<T>(
  ops: TensorOps<T>,
  assignment: readonly number[],
  shape: readonly number[],
  perGroup: T,
  ungated: number,
): T {
  const gathered = ops.gather(
    perGroup,
    assignment.map((group) => Math.max(group, 0)),
  );
  const spread = reshaped(ops, gathered, shape);
  if (!assignment.includes(-1)) return spread;
  const inGroup = assignment.map((group) => (group < 0 ? 0 : 1));
  const masked = ops.mul(spread, ops.constant(inGroup, shape));
  if (ungated === 0) return masked;
  const rest = inGroup.map((mask) => (1 - mask) * ungated);
  return ops.add(masked, ops.constant(rest, shape));
}

/**
 * Sums over the elements of each group: `out[j] = Σ_{i in group j} x[i]`; elements of no group are left out.
 *
 * @param x a tensor of `shape`
 * @returns `[groups]`
 */
export function sumGroups<T>(ops: TensorOps<T>, layout: GroupLayout, shape: readonly number[], x: T): T {
  if (layout.kind === "assignment") {
    return ops.segmentSum(reshaped(ops, x, [sizeOf(shape)]), layout.assignment, layout.groups);
  }
  if (layout.kind === "indices") {
    const { axis, assignment, groups } = layout;
    return ops.segmentSum(sumGroups(ops, { kind: "axis", axis }, shape, x), assignment, groups);
  }
  const { shape: split, kept }: GroupFrame = groupFrame(layout, shape)!;
  const others = split.map((_, axis) => axis).filter((axis) => !kept.includes(axis));
  const framed = reshaped(ops, x, split);
  const sums = others.length > 0 ? ops.sum(framed, others) : framed;
  return reshaped(ops, sums, [sizeOf(kept.map((axis) => split[axis]!))]);
}

function withoutLeadingOnes(shape: readonly number[]): readonly number[] {
  const first = shape.findIndex((size) => size !== 1);
  return first === -1 ? [1] : shape.slice(first);
}

function reshaped<T>(ops: TensorOps<T>, x: T, shape: readonly number[]): T {
  return sameShape(ops.shapeOf(x), shape) ? x : ops.reshape(x, shape);
}
