import { einsumLabels } from "../ops/einsum.ts";
import { mergeDomain } from "../ops/flat.ts";
import { reshapeGroups } from "../infer/reshape-groups.ts";
import type { Value } from "../graph/graph.ts";
import { isStable } from "../infer/size-symbols.ts";
import { padAmounts, sliceBounds, sliceRanges } from "../infer/shape-rules.ts";
import { frontAxis, intAttribute, intsAttribute, stringAttribute } from "../ops/attributes.ts";
import { binaryOps, comparisonOps, globalPoolOps, reduceOps, unaryOps } from "../ops/families.ts";
import { indicesReturn } from "../ops/max-pool-indices.ts";
import type { AxisContext, AxisRef } from "./axis-context.ts";
import { quantizedRules } from "./quantized-rules.ts";
import { imageAxisRules } from "./image-axis-rules.ts";
import { product, Space, sum } from "./space.ts";

/** Ties the axes of one operator; what it does not mention is blocked. */
export type AxisRule = (context: AxisContext) => void;

/** Every input is broadcast to output 0; further outputs (a dropout mask) have its shape. */
const elementwise: AxisRule = (context) => {
  const output = context.output();
  if (!output) return;
  context.view.node.inputs.forEach((_, i) => tieBroadcast(context, context.input(i) ?? [], output));
  context.node.outputs.slice(1).forEach((_, i) => tieBroadcast(context, context.output(i + 1) ?? [], output));
};

/** Aligns from the last axis; an axis of size 1 that stretches is no channel axis. */
export function tieBroadcast(context: AxisContext, from: readonly AxisRef[], to: readonly AxisRef[]): void {
  for (const ref of from) {
    const target = to[to.length - from.length + ref.axis];
    if (ref.space.size === 1 && target?.space.size !== 1) context.touch(ref);
    else context.tie(ref, target);
  }
}

/** All axes of input 0 pass to output 0; those with a reason are blocked besides. */
function passing(reason: (context: AxisContext, axis: number, rank: number) => string | undefined): AxisRule {
  return (context) => {
    const input = context.input(0);
    const output = context.output();
    input?.forEach((ref, axis) => {
      context.tie(ref, output?.[axis]);
      const why = reason(context, axis, input.length);
      if (why !== undefined) context.block(ref, why);
    });
  };
}

const softmax = passing((context, axis, rank) => {
  const flattens = context.view.opset < 13;
  const at = context.view.axis("axis", flattens ? 1 : -1, rank);
  return axis === at || (flattens && axis > at) ? "normalises over this axis" : undefined;
});

const alongAxis = (fallback: number, reason: string): AxisRule =>
  passing((context, axis, rank) => (axis === context.view.axis("axis", fallback, rank) ? reason : undefined));

/** Batch and channels pass; positions are mixed. */
const sliding: AxisRule = (context) => {
  for (const index of context.node.outputs.keys()) {
    const input = context.input(0);
    const output = context.output(index);
    input?.forEach((ref, axis) => {
      if (axis < 2) context.tie(ref, output?.[axis]);
      else blockBoth(context, ref, output?.[axis], "slides over this axis");
    });
  }
  if (indicesReturn(context.view)) return;
  for (const axis of [0, 1]) context.block(context.output(1)?.[axis], "gives places that count all channels");
};

function blockBoth(
  context: AxisContext,
  a: AxisRef | undefined,
  b: AxisRef | undefined,
  reason: string,
): void {
  context.block(a, reason);
  context.block(b, reason);
}

/** Sums to which a zero adds nothing. */
const sums = new Set(["ReduceSum", "ReduceMean", "ReduceSumSquare", "ReduceL1", "ReduceL2"]);

const reduce: AxisRule = (context) => {
  const input = context.input(0);
  const output = context.output();
  const axes = context.view.axes(1);
  if (!input || !output || axes === "unknown") return;
  const noop = (axes?.length ?? 0) === 0 && intAttribute(context.node, "noop_with_empty_axes", 0) !== 0;
  const gone = new Set(axes?.map((axis) => frontAxis(axis, input.length)));
  const reduced = (axis: number): boolean => !noop && (gone.size === 0 || gone.has(axis));
  const keep = intAttribute(context.node, "keepdims", 1) !== 0;
  let at = 0;
  for (const ref of input) {
    if (!reduced(ref.axis)) context.tie(ref, output[at++]);
    else {
      const reason = sums.has(context.node.op)
        ? "reduces over this axis, and a removed channel would still count"
        : "reduces over this axis";
      if (sums.has(context.node.op)) context.reduce(ref, context.node.op === "ReduceMean", reason);
      else context.block(ref, reason);
      if (keep) context.touch(output[at++]);
    }
  }
};

const gemm: AxisRule = (context) => {
  const a = context.input(0);
  const b = context.input(1);
  const y = context.output();
  if (a?.length !== 2 || b?.length !== 2 || y?.length !== 2) return;
  const transA = intAttribute(context.node, "transA", 0) ? 1 : 0;
  const transB = intAttribute(context.node, "transB", 0) ? 1 : 0;
  context.tie(a[transA], y[0]);
  context.tie(b[1 - transB], y[1]);
  tieBroadcast(context, context.input(2) ?? [], y);
  contractAxes(context, a[1 - transA]!, b[transB]!);
};

/** Sums over two axes that must be the same channels. */
export function contractAxes(context: AxisContext, a: AxisRef, b: AxisRef): void {
  context.tie(a, b);
  context.contract(a, 0, b, 1, a.space);
}

const matmul: AxisRule = (context) => {
  const a = context.input(0);
  const b = context.input(1);
  const y = context.output();
  if (!a || !b || !y || a.length === 0 || b.length === 0) return;
  const rowsA = a.length > 1 ? 1 : 0;
  const columnsB = b.length > 1 ? 1 : 0;
  const batch = y.slice(0, y.length - rowsA - columnsB);
  tieBroadcast(context, a.slice(0, -2), batch);
  tieBroadcast(context, b.slice(0, -2), batch);
  if (rowsA) context.tie(a.at(-2), y[batch.length]);
  if (columnsB) context.tie(b.at(-1), y.at(-1));
  contractAxes(context, a.at(-1)!, b.at(b.length > 1 ? -2 : -1)!);
};

/**
 * Channels of a grouped convolution are groups × channels of a group, on both sides; the weight `[O, C/g, …]` holds the
 * second factor of the input and both of the output.
 */
const conv: AxisRule = (context) => {
  const x = context.input(0);
  const w = context.input(1);
  const y = context.output();
  const groups = intAttribute(context.node, "group", 1);
  const filters = w?.[0]?.space.size;
  if (!x || !w || !y || filters === undefined || filters % groups !== 0) return;
  context.tie(x[0], y[0]);
  context.tie(w[0], y[1]);
  context.tie(context.input(2)?.[0], w[0]);
  blockSpatial(context, [x, w, y], "slides over this axis");
  const group = new Space(groups);
  context.unify(w[0]!.space, product([group, new Space(filters / groups)]));
  context.unify(x[1]!.space, product([group, w[1]!.space]));
  context.contract(x[1]!, 0, w[1]!, 1, w[1]!.space);
  if (groups > 1) context.size({ kind: "attribute", node: context.node, name: "group", space: group });
};

/** As `conv`, with the weight laid out as `[C, O/g, …]`. */
const convTranspose: AxisRule = (context) => {
  const x = context.input(0);
  const w = context.input(1);
  const y = context.output();
  const groups = intAttribute(context.node, "group", 1);
  const channels = w?.[0]?.space.size;
  if (!x || !w || !y || channels === undefined || channels % groups !== 0) return;
  context.tie(x[0], y[0]);
  context.tie(x[1], w[0]);
  context.tie(context.input(2)?.[0], y[1]);
  blockSpatial(context, [x, w, y], "slides over this axis");
  const group = new Space(groups);
  const inGroup = new Space(channels / groups);
  context.unify(w[0]!.space, product([group, inGroup]));
  context.unify(y[1]!.space, product([group, w[1]!.space]));
  context.touch(w[1]);
  context.touch(y[1]);
  context.contract(x[1]!, 0, w[0]!, 1, inGroup);
  if (groups > 1) context.size({ kind: "attribute", node: context.node, name: "group", space: group });
};

function blockSpatial(context: AxisContext, operands: readonly (readonly AxisRef[])[], reason: string): void {
  for (const refs of operands) for (const ref of refs.slice(2)) context.block(ref, reason);
}

/** Scale, bias and statistics belong to axis 1. */
const perChannel = (inputs: number, positions?: string): AxisRule => {
  return (context) => {
    const x = context.input(0);
    const y = context.output();
    x?.forEach((ref, axis) => {
      context.tie(ref, y?.[axis]);
      if (axis > 1 && positions !== undefined) context.block(ref, positions);
    });
    for (let i = 1; i <= inputs; i++) context.tie(context.input(i)?.[0], x?.[1]);
  };
};

const layerNormalization: AxisRule = (context) => {
  const x = context.input(0);
  const y = context.output();
  if (!x) return;
  const first = context.view.axis("axis", -1, x.length);
  for (const ref of x) {
    context.tie(ref, y?.[ref.axis]);
    if (ref.axis >= first)
      context.block(ref, "normalises over this axis: removing a channel changes the statistics");
  }
  for (const i of [1, 2]) tieBroadcast(context, context.input(i) ?? [], x);
  for (const i of [1, 2]) {
    context
      .output(i)
      ?.forEach((ref) => (ref.axis < first ? context.tie(ref, x[ref.axis]) : context.touch(ref)));
  }
};

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

const concat: AxisRule = (context) => {
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

/** Both branches of an If give the same channels. */
const merge: AxisRule = (context) => {
  const { outputs } = context.node;
  outputs.forEach((_, i) => {
    const output = context.output(i);
    for (const input of [1 + i, 1 + i + outputs.length]) {
      context.input(input)?.forEach((ref) => {
        const to = output?.[ref.axis];
        const same = ref.space.size === to?.space.size;
        if (same && ref.space.size !== undefined) context.tie(ref, to);
        else if (same) for (const each of [ref, to]) context.touch(each);
        else blockBoth(context, ref, to, "joins branches of different shapes");
      });
    }
  });
};

/** Axes of one label are the same; a label that is not in the output is summed over. */
const einsum: AxisRule = (context) => {
  const labels = einsumLabels(context.view);
  const operands = context.node.inputs.map((_, i) => context.input(i));
  const output = context.output();
  if (!labels || !output || operands.some((refs) => !refs)) return;
  for (const label of new Set(labels.inputs.flat())) {
    const places = labels.inputs.flatMap((own, input) =>
      own.flatMap((each, axis) => (each === label ? [{ input, ref: operands[input]![axis]! }] : [])),
    );
    const kept = output[labels.output.indexOf(label)];
    const whole = places.find(({ ref }) => ref.space.size !== 1) ?? places[0]!;
    for (const { ref } of [...places, ...(kept ? [{ ref: kept }] : [])]) {
      if (ref.space.size === 1 && whole.ref.space.size !== 1) context.touch(ref);
      else context.tie(whole.ref, ref);
    }
    const [left, right] = places;
    if (new Set(places.map(({ input }) => input)).size < places.length)
      context.block(whole.ref, "takes a diagonal of this axis");
    else if (!kept && left && right && places.length === 2) {
      context.contract(left.ref, left.input, right.ref, right.input, whole.ref.space);
    } else if (!kept) context.block(whole.ref, "sums over this axis");
  }
};

/** Counts positions, which are no channels. */
const range: AxisRule = (context) => context.output()?.forEach((ref) => context.touch(ref));

const each = (ops: readonly string[], rule: AxisRule): Record<string, AxisRule> => {
  return Object.fromEntries(ops.map((op) => [op, rule]));
};

/** How each operator ties axes. An operator without a row blocks every axis of what it reads and writes. */
export const axisRules: Readonly<Record<string, AxisRule>> = {
  ...each(
    [...unaryOps, ...binaryOps, ...comparisonOps, "PRelu", "Where", "Dropout", "Cast", "IsNaN", "IsInf"],
    elementwise,
  ),
  ...each(reduceOps, reduce),
  ...each([...globalPoolOps, "MaxPool", "AveragePool", "LpPool"], sliding),
  ...each(["Softmax", "LogSoftmax", "Hardmax"], softmax),
  ...each(["Reshape", "Flatten", "Squeeze", "Unsqueeze"], regroup),
  CumSum: passing(() => "adds up along an axis"),
  LpNormalization: alongAxis(-1, "normalises over this axis"),
  Gemm: gemm,
  MatMul: matmul,
  Einsum: einsum,
  Conv: conv,
  ConvTranspose: convTranspose,
  BatchNormalization: perChannel(4),
  InstanceNormalization: perChannel(2, "normalises over positions"),
  LayerNormalization: layerNormalization,
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
  ...imageAxisRules,
  Shape: shapeOf,
  Size: shapeOf,
  ConstantOfShape: constantOfShape,
  Range: range,
  [`${mergeDomain}.Merge`]: merge,
  Trilu: passing((_, axis, rank) => (axis >= rank - 2 ? "cuts a triangle out of this axis" : undefined)),
  ...quantizedRules({
    ...each(["Add", "Mul", "Sigmoid", "LeakyRelu"], elementwise),
    ...each(["GlobalAveragePool", "AveragePool"], sliding),
    MatMul: matmul,
    Gemm: gemm,
    Conv: conv,
    Concat: concat,
    Softmax: softmax,
  }),
};
