import { einsumLabels } from "../ops/einsum.ts";
import { mergeDomain } from "../ops/flat.ts";
import { frontAxis, intAttribute } from "../ops/attributes.ts";
import { binaryOps, comparisonOps, globalPoolOps, reduceOps, unaryOps } from "../ops/families.ts";
import { indicesReturn } from "../ops/max-pool-indices.ts";
import { type AxisContext, type AxisRef, blockBoth, tieBroadcast } from "./axis-context.ts";
import { imageAxisRules } from "./image-axis-rules.ts";
import { concat, layoutAxisRules } from "./layout-axis-rules.ts";
import { quantizedRules } from "./quantized-rules.ts";
import { product, Space } from "./space.ts";

/** Ties the axes of one operator; what it does not mention is blocked. */
export type AxisRule = (context: AxisContext) => void;

/** Every input is broadcast to output 0; further outputs (a dropout mask) have its shape. */
const elementwise: AxisRule = (context) => {
  const output = context.output();
  if (!output) return;
  context.view.node.inputs.forEach((_, i) => tieBroadcast(context, context.input(i) ?? [], output));
  context.node.outputs.slice(1).forEach((_, i) => tieBroadcast(context, context.output(i + 1) ?? [], output));
};

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
  ...layoutAxisRules,
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
  ...imageAxisRules,
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
