import { describeNode } from "../graph/graph.ts";
import { intAttribute } from "../ops/attributes.ts";
import { attention, grouped, multiHead, packedAttention, quantizedAttention } from "./attention-rules.ts";
import { type AxisContext, type AxisRef, tieBroadcast } from "./axis-context.ts";
import { type AxisRule, axisRules, contractAxes } from "./axis-rules.ts";
import { product, Space, sum } from "./space.ts";

/** The rule of the standard operator that a fused one starts with. */
function standard(op: string): AxisRule {
  const rule = axisRules[op];
  if (!rule) throw new Error(`unreachable: no axis rule for ${op}`);
  return rule;
}

const elementwise = standard("Add");

/** Cosines and sines turn pairs of dims of each head; `[B, T, heads · dim]` or `[B, heads, T, dim]`. */
const rotary =
  (cosInput: number): AxisRule =>
  (context) => {
    const x = context.input(0);
    const y = context.output();
    const cosines = context.view.shape(cosInput);
    const turned = "turns pairs of this axis";
    if (!x || !y || !cosines) return;
    const given = intAttribute(context.node, "num_heads", 0);
    if (x.length === 4) {
      x.forEach((ref) => context.tie(ref, y[ref.axis]));
      context.block(x[2], "turns by the place on this axis");
      context.block(x[3], turned);
      if (given > 0) headCount(context, x[1]!.space);
      return;
    }
    const width = x[2]?.space.size;
    const half = cosines.at(-1);
    const dim = given > 0 ? width! / given : typeof half === "number" ? 2 * half : Number.NaN;
    if (x.length !== 3 || width === undefined || !Number.isInteger(width / dim)) return;
    const heads = new Space(width / dim);
    const dims = new Space(dim);
    x.forEach((ref) => context.tie(ref, y[ref.axis]));
    context.block(x[1], "turns by the place on this axis");
    context.unify(x[2]!.space, product([heads, dims]));
    if (dim !== 1) dims.block(`${describeNode(context.node)} ${turned}`);
    if (given > 0) headCount(context, heads);
  };

function headCount(context: AxisContext, space: Space): void {
  context.size({ kind: "attribute", node: context.node, name: "num_heads", space });
}

const normalises = "normalises over this axis: removing a channel changes the statistics";

/** Input and skip are added (with a bias), then normalised over the last axis; output 3 is the sum. */
const skipNormalization: AxisRule = (context) => {
  const x = context.input(0);
  if (!x) return;
  for (const ref of x) {
    for (const output of [0, 3]) context.tie(ref, context.output(output)?.[ref.axis]);
    for (const output of [1, 2]) {
      const statistic = context.output(output)?.[ref.axis];
      if (ref.axis < x.length - 1) context.tie(ref, statistic);
      else context.touch(statistic);
    }
  }
  for (const i of [1, 2, 3, 4]) tieBroadcast(context, context.input(i) ?? [], x);
  context.block(x.at(-1), normalises);
};

/** Rows of three tables are added, then normalised. */
const embedNormalization: AxisRule = (context) => {
  const y = context.output();
  if (!y) return;
  for (const i of [0, 1, 7, 8]) {
    for (const ref of context.input(i) ?? []) {
      if (ref.space.size === 1 && y[ref.axis]?.space.size !== 1) context.touch(ref);
      else context.tie(ref, y[ref.axis]);
    }
  }
  for (const i of [2, 3, 4]) {
    const table = context.input(i);
    context.block(table?.[0], "picks indices of this axis");
    context.tie(table?.[1], y[2]);
  }
  for (const i of [5, 6]) context.tie(context.input(i)?.[0], y[2]);
  context.tie(context.output(1)?.[0], y[0]);
  context.output(2)?.forEach((ref) => context.tie(ref, y[ref.axis]));
  context.block(y[2], normalises);
};

/** Halves of the last axis are multiplied, the second after Gelu: index i goes with index i of the other half. */
const biasSplitGelu: AxisRule = (context) => {
  const x = context.input(0);
  const y = context.output();
  if (!x || !y) return;
  x.slice(0, -1).forEach((ref) => context.tie(ref, y[ref.axis]));
  const [whole, half] = [x.at(-1)!, y.at(-1)!];
  context.touch(whole);
  context.touch(half);
  context.unify(whole.space, sum([half.space, half.space]));
  context.tie(context.input(1)?.[0], whole);
};

/** MatMul with either operand transposed on its last two axes. */
const fusedMatmul: AxisRule = (context) => {
  const [a, b] = [0, 1].map((i) => context.input(i));
  const y = context.output();
  const flag = (name: string): boolean => intAttribute(context.node, name, 0) !== 0;
  if (!a || !b || !y || a.length < 2 || b.length < 2 || flag("transBatchA") || flag("transBatchB")) return;
  const [rows, depthA] = lastAxes(a, flag("transA"));
  const [depthB, columns] = lastAxes(b, flag("transB"));
  const batch = y.slice(0, -2);
  tieBroadcast(context, a.slice(0, -2), batch);
  tieBroadcast(context, b.slice(0, -2), batch);
  context.tie(rows, y.at(-2));
  context.tie(columns, y.at(-1));
  contractAxes(context, depthA!, depthB!);
};

const lastAxes = (refs: readonly AxisRef[], swapped: boolean): AxisRef[] =>
  swapped ? [refs.at(-1)!, refs.at(-2)!] : [refs.at(-2)!, refs.at(-1)!];

/** Conv with something of the result's shape added before the activation. */
const fusedConv: AxisRule = (context) => {
  standard("Conv")(context);
  const y = context.output();
  context.input(3)?.forEach((ref) => context.tie(ref, y?.[ref.axis]));
};

/** Fused operators whose channels are left alone by decision, with what a user is told. */
export const declinedOps: Readonly<Record<string, string>> = {
  "com.microsoft.PackedAttention":
    "packs the tokens of a batch without padding; it has kernels for GPUs only, where no pruned form can be proven here",
  "com.microsoft.PackedMultiHeadAttention":
    "packs the tokens of a batch without padding; it has kernels for GPUs only, where no pruned form can be proven here",
  "com.microsoft.DecoderAttention": "keeps caches whose layout depends on run-time flags",
  "com.microsoft.DecoderMaskedSelfAttention": "reads and writes caches in a layout that is a kernel's own",
  "com.microsoft.DecoderMaskedMultiHeadAttention":
    "reads and writes caches in a layout that is a kernel's own",
  "com.microsoft.SparseAttention":
    "gives heads their sparse layouts in turn: removing a head changes those of the others",
  "com.microsoft.LongformerAttention": "has two packed projections and kernels for GPUs only",
  "com.microsoft.PagedAttention": "keeps its caches in pages that the serving program lays out",
  "com.microsoft.LinearAttention": "carries a recurrent state per head, which the program around it keeps",
  "com.microsoft.GatedRelativePositionBias": "derives a gate from all channels of a head",
  "com.microsoft.QOrderedAttention": "holds its weights in an order that is a kernel's own",
  "com.microsoft.NhwcConv":
    "lays channels last; it has kernels for some accelerators only, where no pruned form can be proven here",
  "com.microsoft.NhwcFusedConv":
    "lays channels last; it has kernels for some accelerators only, where no pruned form can be proven here",
  "com.microsoft.FusedMatMulActivation": "has kernels for GPUs only, where no pruned form can be proven here",
};

const declined = (reason: string): AxisRule => {
  return (context) => {
    context.node.inputs.forEach((_, i) => context.input(i)?.forEach((ref) => context.block(ref, reason)));
    context.node.outputs.forEach((_, i) => context.output(i)?.forEach((ref) => context.block(ref, reason)));
  };
};

/** How fused operators tie axes; keys as in `fusedShapeRules`. */
export const fusedAxisRules: Readonly<Record<string, AxisRule>> = {
  ...Object.fromEntries(Object.entries(declinedOps).map(([op, reason]) => [op, declined(reason)])),
  Attention: attention,
  RotaryEmbedding: rotary(1),
  RMSNormalization: standard("LayerNormalization"),
  SimplifiedLayerNormalization: standard("LayerNormalization"),
  "com.microsoft.Attention": packedAttention,
  "com.microsoft.QAttention": quantizedAttention,
  "com.microsoft.MultiHeadAttention": multiHead,
  "com.microsoft.GroupQueryAttention": grouped,
  "com.microsoft.RotaryEmbedding": rotary(2),
  "com.microsoft.SkipLayerNormalization": skipNormalization,
  "com.microsoft.SkipSimplifiedLayerNormalization": skipNormalization,
  "com.microsoft.EmbedLayerNormalization": embedNormalization,
  "com.microsoft.BiasGelu": elementwise,
  "com.microsoft.FastGelu": elementwise,
  "com.microsoft.QuickGelu": elementwise,
  "com.microsoft.Gelu": elementwise,
  "com.microsoft.BiasAdd": elementwise,
  "com.microsoft.BiasSplitGelu": biasSplitGelu,
  "com.microsoft.FusedMatMul": fusedMatmul,
  "com.microsoft.FusedGemm": standard("Gemm"),
  "com.microsoft.FusedConv": fusedConv,
};
