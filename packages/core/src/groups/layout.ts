import { checkShape, sizeOf } from "../check.ts";
import { DgateError } from "../errors.ts";

/** How the elements of one tensor fall into groups. */
export type GroupLayout =
  /** One group per index of an axis: the columns of a kernel are neurons, its rows are input features. */
  | { readonly kind: "axis"; readonly axis: number }
  /** One group per index tuple of several axes (ascending), numbered in row-major order. */
  | { readonly kind: "axes"; readonly axes: readonly number[] }
  /** One group per run of `blockSize` indices of an axis: attention heads. */
  | { readonly kind: "blocks"; readonly axis: number; readonly blockSize: number }
  /** The whole tensor is one group. */
  | { readonly kind: "tensor" }
  /** Each element is a group of its own. */
  | { readonly kind: "elements" }
  /** The group of each element in row-major order; −1 is ungated: its gate is 1 and it is not penalised. */
  | { readonly kind: "assignment"; readonly groups: number; readonly assignment: readonly number[] }
  /** The group of each index of one axis, in any order; −1 is ungated, as above: channels that are interleaved or strided. */
  | {
      readonly kind: "indices";
      readonly axis: number;
      readonly groups: number;
      readonly assignment: readonly number[];
    };

/**
 * A tensor seen so that its groups are the index tuples of some axes: `shape` is the tensor's shape with block axes
 * split in two, `kept` are the axes that number the groups.
 */
export interface GroupFrame {
  readonly shape: readonly number[];
  readonly kept: readonly number[];
}

/** The frame of a regular layout; `undefined` for those that list the group of each element or index. */
export function groupFrame(layout: GroupLayout, shape: readonly number[]): GroupFrame | undefined {
  switch (layout.kind) {
    case "axis":
      return { shape, kept: [layout.axis] };
    case "axes":
      return { shape, kept: layout.axes };
    case "blocks": {
      const { axis, blockSize } = layout;
      if (blockSize === 1) return { shape, kept: [axis] };
      const split = shape.toSpliced(axis, 1, shape[axis]! / blockSize, blockSize);
      return { shape: split, kept: [axis] };
    }
    case "tensor":
      return { shape, kept: [] };
    case "elements":
      return { shape, kept: shape.map((_, axis) => axis) };
    default:
      return undefined;
  }
}

/** Refuses a layout that does not fit a tensor of `shape` (`SHAPE`, `GROUP`). */
export function checkLayout(layout: GroupLayout, shape: readonly number[]): void {
  checkShape("checkLayout", shape);
  const fail = (problem: string): never => {
    throw new DgateError("SHAPE", `layout "${layout.kind}" of shape [${shape.join(", ")}]: ${problem}.`);
  };
  const checkAxis = (axis: number): void => {
    if (!Number.isSafeInteger(axis) || axis < 0 || axis >= shape.length) {
      fail(`axis is ${axis}, expected 0 to ${shape.length - 1}`);
    }
  };
  if (layout.kind === "axis" || layout.kind === "blocks" || layout.kind === "indices") checkAxis(layout.axis);
  if (layout.kind === "blocks") {
    const size = shape[layout.axis]!;
    const whole = Number.isSafeInteger(layout.blockSize) && layout.blockSize > 0;
    if (!whole || size % layout.blockSize) {
      fail(
        `blockSize is ${layout.blockSize}, expected a divisor of the ${size} indices of axis ${layout.axis}`,
      );
    }
  }
  if (layout.kind === "axes") {
    layout.axes.forEach(checkAxis);
    const ascending = layout.axes.every((axis, i) => i === 0 || axis > layout.axes[i - 1]!);
    if (!ascending) fail(`axes are [${layout.axes.join(", ")}], expected them ascending without repeats`);
  }
  if (layout.kind === "assignment") checkAssignment(layout, sizeOf(shape), "element", fail);
  if (layout.kind === "indices") checkAssignment(layout, shape[layout.axis]!, "index", fail);
}

function checkAssignment(
  { groups, assignment }: { readonly groups: number; readonly assignment: readonly number[] },
  count: number,
  of: "element" | "index",
  fail: (problem: string) => never,
): void {
  if (!Number.isSafeInteger(groups) || groups < 1) fail(`groups is ${groups}, expected at least 1`);
  if (assignment.length !== count) {
    fail(
      `${assignment.length} assignments for ${count} ${of === "element" ? "elements" : "indices of the axis"}`,
    );
  }
  const bad = assignment.findIndex((group) => !Number.isSafeInteger(group) || group < -1 || group >= groups);
  if (bad === -1) return;
  fail(`${of} ${bad} is assigned to group ${assignment[bad]}, expected −1 (ungated) to ${groups - 1}`);
}

/** Whether some elements may be in no group. */
export function isPartial({ kind }: GroupLayout): boolean {
  return kind === "assignment" || kind === "indices";
}

/** Number of groups J of a tensor of `shape`. */
export function groupCount(layout: GroupLayout, shape: readonly number[]): number {
  if (layout.kind === "assignment" || layout.kind === "indices") return layout.groups;
  const frame = groupFrame(layout, shape)!;
  return sizeOf(frame.kept.map((axis) => frame.shape[axis]!));
}

/** Number of elements p_j of each group. */
export function groupSizes(layout: GroupLayout, shape: readonly number[]): number[] {
  const groups = groupCount(layout, shape);
  if (layout.kind !== "assignment" && layout.kind !== "indices") {
    return Array.from({ length: groups }, () => sizeOf(shape) / groups);
  }
  const each = layout.kind === "indices" ? sizeOf(shape) / shape[layout.axis]! : 1;
  const sizes = Array.from({ length: groups }, () => 0);
  for (const group of layout.assignment) if (group >= 0) sizes[group]! += each;
  return sizes;
}
