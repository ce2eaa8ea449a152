import { type Dim, describeNode } from "../graph/graph.ts";
import { divideDims } from "../infer/dims.ts";
import { attentionSizes, groupedSizes, multiHeadSizes, packedWidths } from "../infer/fused-shapes.ts";
import { floatAttribute, intAttribute } from "../ops/attributes.ts";
import type { AxisContext, AxisRef } from "./axis-context.ts";
import { type AxisRule, contractAxes } from "./axis-rules.ts";
import { product, Space, sum } from "./space.ts";

/** The channels of one attention. Query head k·r + i reads key–value head k, as onnxruntime groups them. */
interface Heads {
  /** Key–value heads × queries of each. */
  readonly query: Space;
  readonly keyValue: Space;
  /** Dims of a head of Q and K, and of V. */
  readonly keyDim: Space;
  readonly valueDim: Space;
}

/** `undefined` where a size is not known or the key–value heads do not divide the query heads. */
function headsOf(queries: Dim, keyValues: Dim, keyDim: Dim, valueDim: Dim): Heads | undefined {
  const sizes = [queries, keyValues, keyDim, valueDim];
  if (!sizes.every((size) => typeof size === "number" && Number.isInteger(size) && size > 0))
    return undefined;
  const [q, kv, dk, dv] = sizes as readonly number[]; // checked on the line above
  if (q! % kv! !== 0) return undefined;
  const keyValue = new Space(kv);
  const query = q === kv ? keyValue : product([keyValue, new Space(q! / kv!)]);
  return { query, keyValue, keyDim: new Space(dk), valueDim: new Space(dv) };
}

const positions = "attends over this axis";

type Ranks = Readonly<Record<number, readonly number[]>>;

/** Whether each of these inputs and outputs is left out or has one of these ranks, so that no head is overlooked. */
function ranksFit(context: AxisContext, inputs: Ranks, outputs: Ranks): boolean {
  const { node } = context;
  return (
    Object.entries(inputs).every(([i, ranks]) => {
      return node.inputs[Number(i)] === undefined || ranks.includes(context.input(Number(i))?.length ?? -1);
    }) &&
    Object.entries(outputs).every(([i, ranks]) => {
      return node.outputs[Number(i)] === undefined || ranks.includes(context.output(Number(i))?.length ?? -1);
    })
  );
}

/** The axis `ref` holds exactly these channels. */
function is(context: AxisContext, ref: AxisRef | undefined, space: Space): void {
  if (!ref) return;
  context.touch(ref);
  context.unify(ref.space, space);
}

/** `[B, T, heads · dim]`. */
function joined(context: AxisContext, refs: readonly AxisRef[] | undefined, channels: Space): void {
  if (!refs || refs.length === 0) return;
  context.tie(refs[0], context.output()?.[0]);
  context.block(refs[1], positions);
  is(context, refs[2], channels);
}

/** `[B, heads, T, dim]`: Q, K and V apart, or a cache. */
function apart(
  context: AxisContext,
  refs: readonly AxisRef[] | undefined,
  heads: Space,
  dim: Space | undefined,
): void {
  if (!refs || refs.length === 0) return;
  context.tie(refs[0], context.output()?.[0]);
  is(context, refs[1], heads);
  context.block(refs[2], positions);
  if (dim) is(context, refs[3], dim);
  else context.block(refs[3], "keeps this axis of its cache");
}

/** What is added to the scores or masks them, `[B or 1, heads or 1, S, T]` or fewer axes; or the scores themselves. */
function scores(context: AxisContext, refs: readonly AxisRef[] | undefined, heads: Space): void {
  refs?.forEach((ref) => {
    const fromEnd = refs.length - ref.axis;
    if (ref.space.size === 1 && heads.size !== 1) context.touch(ref);
    else if (fromEnd === 3) is(context, ref, heads);
    else if (fromEnd === 4) context.tie(ref, context.output()?.[0]);
    else context.block(ref, positions);
  });
}

/** The dim of Q and K is in the scale 1/√d, and kernels are written for some dims only. */
function keepDim({ node }: AxisContext, dim: Space, reason = "scales by the size of its heads"): void {
  if (dim.size !== 1) dim.block(`${describeNode(node)} ${reason}`);
}

/** Inputs and outputs that add to Q and K, or keep them: biases of MultiHeadAttention, caches of either operator. */
const sidesOf: Readonly<Record<string, readonly number[]>> = {
  MultiHeadAttention: [3, 6, 7],
  Attention: [4, 5],
};

/**
 * Q·Kᵀ sums over the dims of a head. With a scale of its own they can go where Q or K is zero; the scale 1/√d holds them, and
 * what adds to Q and K makes zeros count.
 */
function scoredDims(context: AxisContext, { query, keyValue, keyDim }: Heads): void {
  const { node } = context;
  const [q, k] = [context.input(0), context.input(1)];
  const plain =
    !(sidesOf[node.op] ?? []).some((i) => node.inputs[i]) && !node.outputs.slice(1).some((output) => output);
  const alike = q?.length === k?.length && (q?.length === 4 || (q?.length === 3 && query === keyValue));
  // onnxruntime takes a scale of 0 for none.
  if (floatAttribute(node, "scale", 0) === 0 || !plain || !alike) return keepDim(context, keyDim);
  const [left, right] = [q.at(-1)!, k!.at(-1)!];
  context.contract(left, 0, right, 1, left.space, keyDim);
}

function headCount(context: AxisContext, name: string, space: Space): void {
  context.size({ kind: "attribute", node: context.node, name, space });
}

/**
 * Q, K and V as one product: the columns of the weight are heads × dim for each of them, with the same heads. V may have
 * another dim where there is no cache, which holds K and V in one tensor.
 */
export const packedAttention: AxisRule = (context) => {
  const [x, w] = [0, 1].map((i) => context.input(i));
  const y = context.output();
  const count = intAttribute(context.node, "num_heads", 0);
  const [queryWidth, keyWidth, valueWidth] = packedWidths(context.view);
  const keyDim = divideDims(keyWidth, count);
  const heads = headsOf(count, count, keyDim, divideDims(valueWidth, count));
  const fits = ranksFit(context, { 0: [3], 1: [2], 2: [1], 4: [5], 5: [4] }, { 0: [3], 1: [5] });
  if (!heads || !fits || queryWidth !== keyWidth || !x || !w) return;
  const { query, valueDim } = heads;
  const parts = [heads.keyDim, heads.keyDim, valueDim].map((dim) => product([query, dim]));
  const past = context.input(4) ?? [];
  const present = context.output(1) ?? [];
  if (past.length + present.length > 0) context.unify(heads.keyDim, valueDim);
  packedSides(context, parts, [2]);
  contractAxes(context, x[2]!, w[0]!);
  context.tie(x[0], y?.[0]);
  context.block(x[1], positions);
  joined(context, y, parts[2]!);
  for (const refs of [past, present]) {
    context.block(refs[0], "holds keys and values on this axis");
    apart(context, refs.slice(1), query, heads.keyDim);
  }
  scores(context, context.input(5), query);
  keepDim(context, heads.keyDim);
  headCount(context, "num_heads", query);
  context.size({ kind: "attributes", node: context.node, name: "qkv_hidden_sizes", spaces: parts });
};

/** The weight's columns and what has one number for each of them: Q, K and V one after the other. */
function packedSides(context: AxisContext, parts: readonly Space[], others: readonly number[]): void {
  is(context, context.input(1)?.[1], sum(parts));
  for (const i of others) {
    const [ref] = context.input(i) ?? [];
    if (ref?.space.size === 1) context.touch(ref);
    else is(context, ref, sum(parts));
  }
}

/** As `packedAttention` with an int8 weight; scale and zero point of the weight are numbers or one per column. */
export const quantizedAttention: AxisRule = (context) => {
  const y = context.output();
  const count = intAttribute(context.node, "num_heads", 0);
  const [keyWidth] = packedWidths(context.view);
  const dim = divideDims(keyWidth, count);
  const heads = headsOf(count, count, dim, dim);
  const inputs = { 0: [3], 1: [2], 2: [1], 4: [0, 1], 7: [0, 1], 8: [5] };
  if (!heads || !ranksFit(context, inputs, { 0: [3], 1: [5] })) return;
  const part = product([heads.query, heads.keyDim]);
  packedSides(context, [part, part, part], [2, 4, 7]);
  const x = context.input(0);
  context.tie(x?.[0], y?.[0]);
  context.block(x?.[1], positions);
  for (const ref of [x?.[2], context.input(1)?.[0]]) {
    context.block(ref, "multiplies integers here, whose zero points count with every channel");
  }
  joined(context, y, part);
  for (const refs of [context.input(8) ?? [], context.output(1) ?? []]) {
    context.block(refs[0], "holds keys and values on this axis");
    apart(context, refs.slice(1), heads.query, heads.keyDim);
  }
  keepDim(context, heads.keyDim);
  headCount(context, "num_heads", heads.query);
};

/** Q, K and V come from outside, in one of four layouts; `bias` lists those of all three one after the other. */
export const multiHead: AxisRule = (context) => {
  const sizes = multiHeadSizes(context.view);
  const heads = sizes && headsOf(sizes.heads, sizes.heads, sizes.keyDim, sizes.valueDim);
  const inputs = { 0: [3, 5], 1: [3, 4, 5], 2: [3, 4], 3: [1], 5: [4], 6: [4], 7: [4] };
  if (!heads || !ranksFit(context, inputs, { 0: [3], 1: [4], 2: [4], 3: [4] })) return;
  const { query, keyDim, valueDim } = heads;
  // A cache has one size of heads.
  if ([6, 7].some((i) => context.node.inputs[i]) || [1, 2].some((i) => context.node.outputs[i])) {
    context.unify(keyDim, valueDim);
  }
  const [keys, values] = [keyDim, valueDim].map((dim) => product([query, dim]));
  [0, 1, 2].forEach((i) => {
    const refs = context.input(i);
    const dim = i === 2 ? valueDim : keyDim;
    if (refs?.length === 5) interleaved(context, refs, heads);
    else if (refs?.length === 4) apart(context, refs, query, dim);
    else joined(context, refs, i === 2 ? values! : keys!);
  });
  is(context, context.input(3)?.[0], sum([keys!, keys!, values!]));
  scores(context, context.input(5), query);
  apart(context, context.input(6), query, keyDim);
  apart(context, context.input(7), query, valueDim);
  joined(context, context.output(), values!);
  apart(context, context.output(1), query, keyDim);
  apart(context, context.output(2), query, valueDim);
  scores(context, context.output(3), query);
  scoredDims(context, heads);
  headCount(context, "num_heads", query);
};

/** `[B, T, heads, 2 or 3, dim]`: K and V, or Q, K and V, side by side within each head. */
function interleaved(
  context: AxisContext,
  refs: readonly AxisRef[],
  { query, keyDim, valueDim }: Heads,
): void {
  context.tie(refs[0], context.output()?.[0]);
  context.block(refs[1], positions);
  is(context, refs[2], query);
  context.block(refs[3], "holds queries, keys and values on this axis");
  context.unify(keyDim, valueDim);
  is(context, refs[4], keyDim);
}

/** Query heads share key–value heads; Q may hold K and V behind it. */
export const grouped: AxisRule = (context) => {
  const { heads: count, kvHeads, dim, packed } = groupedSizes(context.view);
  const heads = headsOf(count, kvHeads, dim, dim);
  const inputs = { 0: [3], 1: [3], 2: [3], 3: [4], 4: [4], 10: [4], 11: [1], 12: [0, 1, 4], 13: [0, 1, 4] };
  if (!heads || !ranksFit(context, inputs, { 0: [3], 1: [4], 2: [4], 3: [4] })) return;
  const { query, keyValue, keyDim } = heads;
  const [queries, keys] = [query, keyValue].map((each) => product([each, keyDim]));
  joined(context, context.input(0), packed ? sum([queries!, keys!, keys!]) : queries!);
  if (!packed) for (const i of [1, 2]) joined(context, context.input(i), keys!);
  // A quantized cache packs two numbers in a byte.
  const cacheDim = intAttribute(context.node, "kv_cache_bit_width", 8) === 4 ? undefined : keyDim;
  for (const i of [3, 4]) apart(context, context.input(i), keyValue, cacheDim);
  for (const i of [1, 2]) apart(context, context.output(i), keyValue, cacheDim);
  scores(context, context.input(10), query);
  scores(context, context.output(3), query);
  is(context, context.input(11)?.[0], query);
  for (const i of [12, 13]) cacheScale(context, context.input(i) ?? [], keyValue);
  for (const i of [14, 15]) is(context, context.input(i)?.[0], keyDim);
  joined(context, context.output(), queries!);
  keepDim(context, keyDim, "has kernels for some sizes of heads only");
  headCount(context, "num_heads", query);
  headCount(context, "kv_num_heads", keyValue);
};

/** One scale for a cache, or `[1, heads, 1, dim]`. */
function cacheScale(context: AxisContext, refs: readonly AxisRef[], heads: Space): void {
  const ref = refs.length === 4 ? refs[1] : refs[0];
  if (ref?.space.size === 1) context.touch(ref);
  else is(context, ref, heads);
}

/** The standard operator: heads in one axis with their dims or in an axis of their own, shared as in `grouped`. */
export const attention: AxisRule = (context) => {
  const sizes = attentionSizes(context.view);
  const heads = sizes && headsOf(sizes.heads, sizes.kvHeads, sizes.keyDim, sizes.valueDim);
  const inputs = { 0: [3, 4], 1: [3, 4], 2: [3, 4], 3: [2, 3, 4], 4: [4], 5: [4] };
  if (!heads || !ranksFit(context, inputs, { 0: [3, 4], 1: [4], 2: [4], 3: [4] })) return;
  const { query, keyValue, keyDim, valueDim } = heads;
  const sides = [
    [context.input(0), query, keyDim],
    [context.input(1), keyValue, keyDim],
    [context.input(2), keyValue, valueDim],
    [context.output(), query, valueDim],
  ] as const;
  for (const [refs, side, dim] of sides) {
    if (sizes.apart) apart(context, refs, side, dim);
    else joined(context, refs, product([side, dim]));
  }
  scores(context, context.input(3), query);
  apart(context, context.input(4), keyValue, keyDim);
  apart(context, context.input(5), keyValue, valueDim);
  apart(context, context.output(1), keyValue, keyDim);
  apart(context, context.output(2), keyValue, valueDim);
  scores(context, context.output(3), query);
  scoredDims(context, heads);
  // With an axis of their own the heads are counted by the shapes; attributes may still say it again.
  for (const [name, side] of [["q_num_heads", query] as const, ["kv_num_heads", keyValue] as const]) {
    if (context.node.attributes.has(name)) headCount(context, name, side);
  }
};
