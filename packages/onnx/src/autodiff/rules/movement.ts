import { DgateError } from "@dgate/core";
import { int } from "../../graph/attribute.ts";
import { describeNode } from "../../graph/types.ts";
import { frontAxis, intAttribute, intsAttribute } from "../../ops/attributes.ts";
import type { DiffOps } from "../../operators/diff-ops.ts";
import type { Applied, Vjp, VjpRow, VjpTable } from "../vjp.ts";
import { scatterAlong } from "./scatter-along.ts";

/** The elements stay in their order. */
const reshaped: VjpRow = [(ops, { inputs: [x] }, g) => ops.reshapeLike(g, x!)];

function knownRank<T>(ops: DiffOps<T>, { node }: Applied<T>, x: T): number {
  const rank = ops.rank(x);
  if (rank !== undefined) return rank;
  throw new DgateError(
    "UNSUPPORTED",
    `gradients: the rank of what ${describeNode(node)} reads is not known; declare it in the model's value_info.`,
  );
}

const transpose: Vjp = (ops, at, g) => {
  const rank = knownRank(ops, at, at.inputs[0]!);
  const perm = intsAttribute(at.node, "perm") ?? Array.from({ length: rank }, (_, axis) => rank - 1 - axis);
  const inverse = perm.map((_, axis) => perm.indexOf(axis));
  return ops.transpose(g, inverse);
};

/** The part of the cotangent that belongs to one of the inputs. */
const concat: VjpRow =
  (index) =>
  (ops, { node, inputs }, g) => {
    const axis = intAttribute(node, "axis", 0);
    const sizes = inputs.slice(0, index + 1).map((input) => ops.sizeOf(input!, axis));
    const start = sizes.slice(0, -1).reduce((a, b) => ops.add(a, b), ops.int64([0]));
    return ops.call("Slice", [g, start, ops.add(start, sizes.at(-1)!), ops.int64([axis]), ops.int64([1])]);
  };

/** The parts side by side, zeros where nothing depends on one. */
const split: Vjp = (ops, { node, outputs, cotangents }) => {
  const parts = cotangents.map((g, i) => g ?? (outputs[i] && ops.zerosLike(outputs[i])));
  const whole = parts.filter((part) => part !== undefined);
  if (whole.length < parts.length) {
    throw new DgateError(
      "UNSUPPORTED",
      `gradients: ${describeNode(node)} (domain "ai.onnx") leaves out one of its outputs; name all of them.`,
    );
  }
  return ops.concat(whole, intAttribute(node, "axis", 0));
};

/** What Slice takes of each axis it names. */
function sliced<T>(ops: DiffOps<T>, at: Applied<T>): { axis: number; index: number; step: number }[] {
  const [x, starts, , axes, steps] = at.inputs;
  const rank = knownRank(ops, at, x!);
  const count = ops.shape(starts!)?.[0];
  const inOrder = typeof count === "number" ? Array.from({ length: count }, (_, axis) => axis) : undefined;
  const listed = axes ? ops.integers(axes) : inOrder;
  const strides = steps ? ops.integers(steps) : listed?.map(() => 1);
  if (!listed || !strides) {
    throw new DgateError(
      "UNSUPPORTED",
      `gradients: ${describeNode(at.node)} (domain "ai.onnx") computes its axes or steps at run time, which has no derivative rule.`,
    );
  }
  return listed.map((axis, index) => ({ axis: frontAxis(axis, rank), index, step: strides[index]! }));
}

/** Zeros around what was taken. */
const slice: Vjp = (ops, at, g) => {
  const [x, starts] = at.inputs;
  const rank = knownRank(ops, at, x!);
  const ranges = sliced(ops, at);
  const plain = ranges.filter(({ step }) => step === 1);
  const strided = ranges.filter(({ step }) => step !== 1);
  const placed = strided.reduce((partial, { axis, index, step }) => {
    return scatterAlong(ops, partial, axis, stridedIndices(ops, at, axis, index, step), ops.sizeOf(x!, axis));
  }, g);
  if (plain.length === 0) return placed;
  const before = Array.from({ length: rank }, () => ops.int64([0]));
  const after = [...before];
  for (const { axis, index } of plain) {
    const size = ops.sizeOf(x!, axis);
    const start = startOf(ops, ops.cast(ops.slice(starts!, 0, index, index + 1), "int64"), size);
    before[axis] = start;
    after[axis] = ops.sub(ops.sub(size, start), ops.sizeOf(g, axis));
  }
  return ops.call("Pad", [placed, ops.concat([...before, ...after], 0), ops.scalar(0, placed)]);
};

/** A start counted from the front and within the axis. */
function startOf<T>(ops: DiffOps<T>, start: T, size: T): T {
  const [at] = ops.integers(start) ?? [];
  const [length] = ops.integers(size) ?? [];
  if (at !== undefined && at >= 0 && (at === 0 || length !== undefined)) {
    return length === undefined ? start : ops.int64([Math.min(at, length)]);
  }
  if (at !== undefined && length !== undefined) return ops.int64([Math.max(0, at + length)]);
  const zero = ops.int64([0]);
  const front = ops.where(ops.call("Less", [start, zero]), ops.add(start, size), start);
  return ops.call("Min", [ops.call("Max", [front, zero]), size]);
}

function stridedIndices<T>(ops: DiffOps<T>, at: Applied<T>, axis: number, index: number, step: number): T {
  const size = ops.shape(at.inputs[0]!)?.[axis];
  const start = ops.integers(at.inputs[1]!)?.[index];
  const count = ops.shape(at.outputs[0]!)?.[axis];
  if (typeof size !== "number" || start === undefined || typeof count !== "number") {
    throw new DgateError(
      "UNSUPPORTED",
      `gradients: ${describeNode(at.node)} (domain "ai.onnx") steps over an axis of unknown size, which has no derivative rule.`,
    );
  }
  const first = Math.max(step < 0 ? -1 : 0, Math.min(step < 0 ? size - 1 : size, frontAxis(start, size)));
  return ops.int64(Array.from({ length: count }, (_, i) => first + i * step));
}

/** Each axis as repeats × size, the repeats summed. */
const tile: Vjp = (ops, at, g) => {
  const [x, repeats] = at.inputs;
  const rank = knownRank(ops, at, x!);
  const pieces = Array.from({ length: rank }, (_, axis) => [
    ops.slice(repeats!, 0, axis, axis + 1),
    ops.sizeOf(x!, axis),
  ]).flat();
  const apart = ops.call("Reshape", [g, ops.concat(pieces, 0)]);
  return ops.sum(
    apart,
    Array.from({ length: rank }, (_, axis) => 2 * axis),
    false,
  );
};

const cumulativeSum: Vjp = (ops, { node, inputs: [, axis] }, g) =>
  ops.call("CumSum", [g, axis], {
    exclusive: int(intAttribute(node, "exclusive", 0)),
    reverse: int(1 - intAttribute(node, "reverse", 0)),
  });

/** Operators that move, repeat or leave out elements. */
export const movement: VjpTable = {
  Reshape: reshaped,
  Flatten: reshaped,
  Squeeze: reshaped,
  Unsqueeze: reshaped,
  Transpose: [transpose],
  Concat: concat,
  Split: [split],
  Slice: [slice],
  // The walk sums over the axes that were stretched.
  Expand: [(_, __, g) => g],
  Tile: [tile],
  CumSum: [cumulativeSum],
  Trilu: [
    (ops, { node, inputs: [, k] }, g) =>
      ops.call("Trilu", [g, k], { upper: int(intAttribute(node, "upper", 1)) }),
  ],
};
