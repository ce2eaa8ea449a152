import { describeNode } from "../graph/graph.ts";
import { intAttribute } from "../ops/attributes.ts";
import { inputOrder, quantizedForm, type QuantizedForm, quantizedOps } from "../ops/quantized-forms.ts";
import type { AxisContext, AxisRef } from "./axis-context.ts";
import type { AxisRule } from "./axis-rules.ts";
import { blockedAxis } from "./blocks.ts";
import { gatherBlockQuantized, matMulBnb4, matMulNBits } from "./packed-rules.ts";

/**
 * How the quantized operators tie axes: as the float operator that each stands for, scales and zero points with the axis
 * that they belong to.
 *
 * @param floats the rules of the float operators
 */
export function quantizedRules(
  floats: Readonly<Record<string, AxisRule>>,
): Readonly<Record<string, AxisRule>> {
  const asFloat: AxisRule = (context) => {
    const form = quantizedForm(context.node)!; // rows below have one
    if (!keepsChannelsApart(context, form)) return;
    floats[form.op]?.(context.as(form.op, inputOrder(form)));
    if (form.op === "MatMul" && form.bias !== undefined)
      context.tie(context.input(form.bias)?.at(-1), context.output()?.at(-1));
    tieParameters(context, form);
    if (form.takesRange) context.takesRange(0);
  };
  return {
    ...Object.fromEntries(quantizedOps.map((op) => [op, asFloat])),
    QuantizeLinear: linear,
    DequantizeLinear: linear,
    "com.microsoft.QuantizeLinear": linear,
    "com.microsoft.DequantizeLinear": linear,
    DynamicQuantizeLinear: dynamicQuantizeLinear,
    "com.microsoft.MatMulNBits": matMulNBits,
    "com.microsoft.MatMulBnb4": matMulBnb4,
    "com.microsoft.GatherBlockQuantized": gatherBlockQuantized,
  };
}

/** Poolings with channels last and a Softmax of an older operator set than the model's follow other axes. */
function keepsChannelsApart({ node, view }: AxisContext, { op }: QuantizedForm): boolean {
  if (intAttribute(node, "channels_last", 0) !== 0) return false;
  const standard = view.graph.opsets.get("") ?? 1;
  return op !== "Softmax" || intAttribute(node, "opset", standard) >= 13 || standard < 13;
}

/** Single numbers belong to the whole tensor; one per channel goes with the channels of the weight. */
function tieParameters(context: AxisContext, form: QuantizedForm): void {
  form.operands.forEach(({ value, scale, zeroPoint }, position) => {
    const refs = context.input(value) ?? [];
    const axis = position === 1 ? weightAxis(context, form.op, refs.length) : undefined;
    for (const index of [scale, zeroPoint]) {
      if (index !== undefined)
        tieParameter(context, index, axis === undefined ? undefined : refs[axis], refs);
    }
  });
  for (const index of [form.output?.scale, form.output?.zeroPoint]) {
    if (index !== undefined) tieParameter(context, index, undefined, context.output() ?? []);
  }
}

/** The axis of a weight that its scales and zero points are for. */
function weightAxis({ node }: AxisContext, op: string, rank: number): number | undefined {
  if (op === "Conv") return 0;
  if (op === "Gemm") return intAttribute(node, "transB", 0) ? 0 : 1;
  return op === "MatMul" ? rank - 1 : undefined;
}

/** `channel` is the axis that a list of numbers is for; any other list holds the whole tensor together. */
function tieParameter(
  context: AxisContext,
  index: number,
  channel: AxisRef | undefined,
  tensor: readonly AxisRef[],
): void {
  const refs = context.input(index);
  if (refs?.every(({ space }) => space.size === 1)) return refs.forEach((ref) => context.touch(ref));
  if (refs?.length === 1 && channel && refs[0]!.space.size === channel.space.size) {
    return context.tie(refs[0], channel);
  }
  for (const ref of tensor) context.block(ref, "has scales or zero points that do not follow one axis");
}

/**
 * QuantizeLinear and DequantizeLinear: all axes pass. Scales and zero points are one number, one for each index of `axis`, or
 * one for each block of `block_size` indices of it.
 */
const linear: AxisRule = (context) => {
  const x = context.input(0);
  const y = context.output();
  if (!x || !y) return;
  for (const ref of x) context.tie(ref, y[ref.axis]);
  const axis = x.length === 1 ? 0 : context.view.axis("axis", 1, x.length);
  const blockSize = intAttribute(context.node, "block_size", 0);
  if (blockSize > 0) return tieBlocks(context, x, axis, blockSize);
  for (const index of [1, 2]) tieParameter(context, index, x[axis], x);
};

function tieBlocks(context: AxisContext, x: readonly AxisRef[], axis: number, blockSize: number): void {
  const size = x[axis]?.space.size;
  const parameters = [1, 2].map((index) => context.input(index)).filter((refs) => refs?.length !== 0);
  if (size === undefined || parameters.some((refs) => refs?.length !== x.length)) {
    for (const ref of x) context.block(ref, "has scales of unknown shape");
    return;
  }
  const reason = `${describeNode(context.node)} packs its weights in blocks of ${blockSize}`;
  const { elements, blocks } = blockedAxis(size, blockSize, reason);
  context.unify(x[axis]!.space, elements);
  for (const refs of parameters) {
    for (const ref of refs!) {
      context.touch(ref);
      context.unify(ref.space, ref.axis === axis ? blocks : x[ref.axis]!.space);
    }
  }
}

/** The scale follows from the range of the whole input, and zero is always in it. */
const dynamicQuantizeLinear: AxisRule = (context) => {
  const y = context.output();
  context.input(0)?.forEach((ref) => context.tie(ref, y?.[ref.axis]));
  context.takesRange(0);
};
