import { reshapeGroups } from "../infer/reshape-groups.ts";
import type { Value } from "../graph/graph.ts";
import { isStable } from "../infer/size-symbols.ts";
import { padAmounts, sliceBounds, sliceRanges } from "../infer/shape-rules.ts";
import { frontAxis, intsAttribute, stringAttribute } from "../ops/attributes.ts";
import { type AxisContext, type AxisRef, blockBoth, tieBroadcast } from "./axis-context.ts";
import type { AxisRule } from "./axis-rules.ts";
import { product, Space, sum } from "./space.ts";

/** Reshape, Flatten, Squeeze, Unsqueeze: same elements in the same order. */
const regroup: AxisRule = (context) => {
  const input = context.input(0);
  const output = context.output();
  const from = context.view.shape(0);
  const to = context.view.outputShape();
  if (!input || !output || !from || !to) return;
  for (const {
    input: [i, iEnd],
    output: [o, oEnd],
    exact,
  } of reshapeGroups(from, to)) {
    const a = input.slice(i, iEnd);
    const b = output.slice(o, oEnd);
    for (const ref of [...a, ...b]) {
      if (exact) context.touch(ref);
      else context.block(ref, "mixes axes of unknown size");
    }
    if (exact && a.length > 0 && b.length > 0) {
      context.unify(product(a.map(({ space }) => space)), product(b.map(({ space }) => space)));
    }
  }
  if (context.node.op === "Reshape") sizeOperand(context, 1);
};

/**
 * Input `index` lists the output's sizes. A constant list is rewritten when the spaces are cut, a computed one is computed
 * anew from the sizes of the model's inputs. Where those do not say them all, one may stay open (as −1); with more, the sizes
 * that are numbers are blocked.
 */
function sizeOperand(context: AxisContext, index: number, output = context.output()): void {
  const operand = context.node.inputs[index];
  if (!operand || !output) return;
  const open = output.filter(({ space }) => space.size === undefined).length;
  const fits = open <= (context.node.op === "Reshape" ? 1 : 0);
  if (operand.data || fits || context.isComputable(context.view.outputShape() ?? [undefined])) {
    const spaces = output.map(({ space }) => space);
    context.size({ kind: "shape", node: context.node, input: index, spaces });
    return;
  }
  for (const ref of output) {
    if (ref.space.size !== undefined) context.block(ref, "takes its shape from a computation");
  }
}

const transpose: AxisRule = (context) => {
  const x = context.input(0);
  const y = context.output();
  if (!x || !y) return;
  const permutation = intsAttribute(context.node, "perm") ?? x.map((_, axis) => x.length - 1 - axis);
  permutation.forEach((axis, to) => context.tie(x[axis], y[to]));
};

export const concat: AxisRule = (context) => {
  const y = context.output();
  const inputs = context.view.node.inputs.map((_, i) => context.input(i));
  if (!y || inputs.some((refs) => refs?.length !== y.length)) return;
  const at = context.view.axis("axis", 0, y.length);
  for (const refs of inputs) refs?.forEach((ref, axis) => axis !== at && context.tie(ref, y[axis]));
  const parts = inputs.map((refs) => refs![at]!);
  for (const ref of [...parts, y[at]!]) {
    if (ref.space.size === undefined) context.block(ref, "joins axes of unknown size");
    else context.touch(ref);
  }
  context.unify(y[at]!.space, sum(parts.map(({ space }) => space)));
};

const split: AxisRule = (context) => {
  const x = context.input(0);
  const outputs = context.node.outputs.map((_, i) => context.output(i));
  if (!x || outputs.some((refs) => refs?.length !== x.length)) return;
  const at = context.view.axis("axis", 0, x.length);
  for (const refs of outputs) refs?.forEach((ref, axis) => axis !== at && context.tie(ref, x[axis]));
  const parts = outputs.map((refs) => refs![at]!);
  if (
    parts.some(({ space }) => space.size === undefined) ||
    (context.node.inputs[1] && !context.view.integers(1))
  )
    return;
  for (const ref of [...parts, x[at]!]) context.touch(ref);
  context.unify(x[at]!.space, sum(parts.map(({ space }) => space)));
  context.size({ kind: "split", node: context.node, spaces: parts.map(({ space }) => space) });
};

const slice: AxisRule = (context) => {
  const x = context.input(0);
  const y = context.output();
  const ranges = sliceRanges(context.view);
  if (!x || !y || !ranges) return;
  for (const ref of x) {
    const at = ranges.findIndex(({ axis }) => axis === ref.axis);
    const range = ranges[at];
    const to = y[ref.axis]!;
    const { size } = ref.space;
    const whole = range?.step === 1 && size !== undefined && size === to.space.size;
    if (!range || whole) {
      context.tie(ref, to);
      continue;
    }
    const { start, end: limit, step } = range;
    if (step !== 1 || size === undefined || typeof start !== "number" || typeof limit !== "number") continue;
    if (context.view.opset < 10) continue;
    const [from, end] = sliceBounds(size, start, limit);
    const before = new Space(from);
    const after = new Space(size - end);
    context.unify(ref.space, sum([before, to.space, after]));
    context.touch(ref);
    context.touch(to);
    context.size({ kind: "slice", node: context.node, at, before, taken: to.space, after });
  }
};

const pad: AxisRule = (context) => {
  const x = context.input(0);
  const y = context.output();
  const amounts = padAmounts(context.view);
  if (!x || !y || !amounts) return;
  const fills = stringAttribute(context.node, "mode", "constant") === "constant";
  const rewritable = !context.node.inputs[1] || context.node.inputs[1].data !== undefined;
  for (const ref of x) {
    const [before, after] = amounts[ref.axis]!;
    if (before === 0 && after === 0) context.tie(ref, y[ref.axis]);
    else if (fills && rewritable) padChannels(context, ref, y[ref.axis]!, before, after);
    else blockBoth(context, ref, y[ref.axis], "pads this axis");
  }
};

/** Channels of one number before and after those of the input, as in shortcuts without weights. */
function padChannels(context: AxisContext, from: AxisRef, to: AxisRef, before: number, after: number): void {
  if (from.space.size === undefined || before < 0 || after < 0) {
    return blockBoth(context, from, to, "pads this axis");
  }
  const [first, last] = [new Space(before), new Space(after)];
  context.touch(from);
  context.touch(to);
  context.unify(to.space, sum([first, from.space, last]));
  context.size({ kind: "pad", node: context.node, axis: from.axis, before: first, after: last });
}

/**
 * Rows of a table by index (an embedding): the other axes of the table pass. A constant list of indices chooses channels
 * itself, so the output's axis is the list's own axis; the axis it chooses from stays whole.
 */
const gather: AxisRule = (context) => {
  const data = context.input(0);
  const indices = context.input(1);
  const y = context.output();
  if (!data || !indices || !y) return;
  const axis = context.view.axis("axis", 0, data.length);
  data.forEach((ref) => {
    if (ref.axis < axis) context.tie(ref, y[ref.axis]);
    else if (ref.axis > axis) context.tie(ref, y[ref.axis - 1 + indices.length]);
    else context.block(ref, "picks indices of this axis");
  });
  indices.forEach((ref) => context.tie(ref, y[axis + ref.axis]));
};

const resize: AxisRule = (context) => {
  const x = context.input(0);
  const y = context.output();
  x?.forEach((ref) => {
    const to = y?.[ref.axis];
    if (to && ref.space.size !== undefined && ref.space.size === to.space.size) context.tie(ref, to);
    else if (ref.axis === 0) context.tie(ref, to);
    else blockBoth(context, ref, to, "resizes this axis");
  });
  if (context.view.opset < 11) return;
  const listed = intsAttribute(context.node, "axes")?.map((axis) => frontAxis(axis, y?.length ?? 0));
  sizeOperand(context, 3, listed ? y && listed.map((axis) => y[axis]!) : y);
};

const expand: AxisRule = (context) => {
  const y = context.output();
  if (!y) return;
  tieBroadcast(context, context.input(0) ?? [], y);
  const x = context.input(0) ?? [];
  for (const ref of y) {
    const source = x[ref.axis - y.length + x.length];
    if (!source || source.space.size === 1) context.touch(ref);
  }
  sizeOperand(context, 1);
};

const tile: AxisRule = (context) => {
  const repeats = context.view.integers(1);
  const y = context.output();
  if (!repeats) return;
  context.input(0)?.forEach((ref) => {
    const times = new Space(repeats[ref.axis] ?? 1);
    times.block(`${context.node.op} repeats this axis`);
    context.unify(product([times, ref.space]), y![ref.axis]!.space);
    context.touch(ref);
    context.touch(y![ref.axis]);
  });
};

/**
 * Sizes that leave as data. Nothing is blocked where the numbers only say what shape another node gives its result (it is
 * written anew when a space is cut), or where what is computed from them does not change with a cut.
 */
const shapeOf: AxisRule = (context) => {
  const output = context.node.outputs[0];
  const harmless = output !== undefined && onlyShapes(context, output);
  for (const ref of context.input(0) ?? []) {
    if (harmless) context.touch(ref);
    else context.block(ref, "reads the size of this axis");
  }
};

/** Inputs that list the sizes of an output. */
const shapeOperands: Readonly<Record<string, number>> = {
  Reshape: 1,
  Expand: 1,
  Resize: 3,
  ConstantOfShape: 0,
};

function onlyShapes({ view }: AxisContext, sizes: Value): boolean {
  const found = new Set([sizes]); // grows as it is walked
  for (const value of found) {
    if (view.contentOf(value)?.every(isStable)) continue;
    for (const { node, index } of view.graph.uses(value)) {
      if (!node || index < 0 || node.domain !== "") return false;
      if (shapeOperands[node.op] === index) continue; // see `sizeOperand`
      for (const output of node.outputs) {
        if (output && view.contentOf(output) === undefined) return false;
        if (output) found.add(output);
      }
    }
  }
  return true;
}

/** A tensor of one number. */
const constantOfShape: AxisRule = (context) => {
  context.output()?.forEach((ref) => context.touch(ref));
  sizeOperand(context, 0);
};

/** How operators that move, cut, join or repeat what they are given tie axes, and those that read sizes; part of `axisRules`. */
export const layoutAxisRules: Readonly<Record<string, AxisRule>> = {
  Reshape: regroup,
  Flatten: regroup,
  Squeeze: regroup,
  Unsqueeze: regroup,
  Transpose: transpose,
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Gather: gather,
  Resize: resize,
  Upsample: resize,
  Expand: expand,
  Tile: tile,
  Shape: shapeOf,
  Size: shapeOf,
  ConstantOfShape: constantOfShape,
};
