import { describeNode } from "../graph/graph.ts";
import { intAttribute } from "../ops/attributes.ts";
import type { AxisContext, AxisRef } from "./axis-context.ts";
import { blockedAxis, type BlockedAxis } from "./blocks.ts";
import { product, Space } from "./space.ts";

const blockReason = (context: AxisContext, size: number): string =>
  `${describeNode(context.node)} packs its weights in blocks of ${size}`;

/**
 * `MatMulNBits`: A `[…, K]` times B `[N, ⌈K/block⌉, block·bits/8]`, whose blocks have a scale each: `[N, ⌈K/block⌉]` or the
 * same flat. Zero points are floats like the scales, or packed with every row padded to whole bytes. N goes index by index,
 * K in whole blocks.
 */
export function matMulNBits(context: AxisContext): void {
  const { node } = context;
  const a = context.input(0);
  const b = context.input(1);
  const y = context.output();
  const blockSize = intAttribute(node, "block_size", 0);
  const depth = a?.at(-1)?.space.size;
  const prepacked = intAttribute(node, "weight_prepacked", 0) !== 0;
  if (!a || !y || b?.length !== 3 || depth === undefined || blockSize < 1 || prepacked) return;
  const axis = blockedAxis(depth, blockSize, blockReason(context, blockSize));
  passRows(context, a, y);
  const [rows, blocks] = [b[0]!, b[1]!];
  context.tie(rows, y.at(-1));
  context.unify(blocks.space, axis.blocks);
  context.block(b[2], "packs several weights in a byte");
  contractBlocks(context, a, blocks, axis);
  context.size({ kind: "attribute", node, name: "N", space: rows.space });
  context.size({ kind: "attribute", node, name: "K", space: axis.elements });
  tieBlockNumbers(context, 2, rows.space, axis.blocks);
  if (node.inputs[3]) tieZeroPoints(context, rows, blocks, axis, intAttribute(node, "bits", 4));
  if (node.inputs[4]) {
    context.block(a.at(-1), "orders its inputs by an index (g_idx)");
    context.block(blocks, "orders its inputs by an index (g_idx)");
    context.input(4)?.forEach((ref) => context.touch(ref));
  }
  context.tie(context.input(5)?.at(-1), y.at(-1));
}

/** All axes but the last pass. */
function passRows(context: AxisContext, a: readonly AxisRef[], y: readonly AxisRef[]): void {
  a.slice(0, -1).forEach((ref) => context.tie(ref, y[ref.axis]));
}

/** The last axis of A meets the blocks of B. */
function contractBlocks(
  context: AxisContext,
  a: readonly AxisRef[],
  weights: AxisRef,
  { elements }: BlockedAxis,
): void {
  context.unify(a.at(-1)!.space, elements);
  context.contract(a.at(-1)!, 0, weights, 1, elements);
}

/** One number per row and block, `[rows, blocks]` or flat; further axes of size 1 do not matter. */
function tieBlockNumbers(context: AxisContext, index: number, rows: Space, blocks: Space): void {
  const refs = context.input(index) ?? [];
  const [first, second] = refs;
  const rest = refs.slice(second?.space.size === blocks.size ? 2 : 1);
  if (!first || rest.some(({ space }) => space.size !== 1)) {
    rows.block(`${describeNode(context.node)} has scales of another shape than its blocks`);
    return blocks.block(`${describeNode(context.node)} has scales of another shape than its blocks`);
  }
  refs.forEach((ref) => context.touch(ref));
  if (rest.length === refs.length - 1) return context.unify(first.space, product([rows, blocks]));
  context.unify(first.space, rows);
  context.unify(second!.space, blocks);
}

function tieZeroPoints(
  context: AxisContext,
  rows: AxisRef,
  blocks: AxisRef,
  axis: BlockedAxis,
  bits: number,
): void {
  const value = context.node.inputs[3]!;
  if (context.view.dtype(3) !== "uint8" || bits === 8)
    return tieBlockNumbers(context, 3, rows.space, axis.blocks);
  if (!value.data) {
    context.block(rows, "has zero points that are computed");
    return context.block(blocks, "has zero points that are computed");
  }
  context.input(3)?.forEach((ref) => context.touch(ref));
  context.size({ kind: "packed", value, bits, rows: rows.space, blocks: axis.blocks });
}

/**
 * `MatMulBnb4`: two weights a byte, row after row `[N·K/2]`, and a largest value per block `[N·K/block]`. Where K is a whole
 * number of blocks no block spans two rows, and both are products of rows and blocks.
 */
export function matMulBnb4(context: AxisContext): void {
  const { node } = context;
  const a = context.input(0);
  const b = context.input(1);
  const y = context.output();
  const blockSize = intAttribute(node, "block_size", 0);
  const depth = a?.at(-1)?.space.size;
  const rows = y?.at(-1);
  if (!a || !y || !rows || !b?.[0] || depth === undefined || blockSize < 2) return;
  const flat = b.slice(1).every(({ space }) => space.size === 1);
  if (!flat || depth % blockSize !== 0 || blockSize % 2 !== 0 || intAttribute(node, "transB", 1) === 0) {
    for (const ref of [a.at(-1), rows]) context.block(ref, "packs its weights in blocks across rows");
    return;
  }
  const axis = blockedAxis(depth, blockSize, blockReason(context, blockSize));
  const bytes = new Space(blockSize / 2);
  bytes.block(blockReason(context, blockSize));
  passRows(context, a, y);
  for (const ref of [rows, ...b]) context.touch(ref);
  context.unify(b[0].space, product([rows.space, axis.blocks, bytes]));
  contractBlocks(context, a, b[0], axis);
  context.size({ kind: "attribute", node, name: "N", space: rows.space });
  context.size({ kind: "attribute", node, name: "K", space: axis.elements });
  tieBlockNumbers(context, 2, rows.space, axis.blocks);
}

/**
 * `GatherBlockQuantized`: rows of a quantized table `[rows, width]` whose last axis is quantized in blocks; a uint8 table
 * holds 8/bits elements a byte.
 */
export function gatherBlockQuantized(context: AxisContext): void {
  const { node, view } = context;
  const data = context.input(0);
  const indices = context.input(1);
  const y = context.output();
  const blockSize = intAttribute(node, "block_size", 128);
  const width = y?.at(-1)?.space.size;
  const plain =
    data?.length === 2 && view.axis("gather_axis", 0, 2) === 0 && view.axis("quantize_axis", 1, 2) === 1;
  if (!data || !indices || !y || !plain || width === undefined || width % blockSize !== 0) return;
  const packed = view.dtype(0) === "uint8";
  const bits = intAttribute(node, "bits", 4);
  const axis = blockedAxis(width, blockSize, blockReason(context, blockSize));
  const inner = new Space(packed ? (blockSize * bits) / 8 : blockSize);
  inner.block(blockReason(context, blockSize));
  context.block(data[0], "picks indices of this axis");
  for (const ref of [data[1], y.at(-1)]) context.touch(ref);
  indices.forEach((ref) => context.tie(ref, y[ref.axis]));
  context.unify(y.at(-1)!.space, axis.elements);
  context.unify(data[1]!.space, product([axis.blocks, inner]));
  tieBlockNumbers(context, 2, data[0]!.space, axis.blocks);
  if (!node.inputs[3]) return;
  if (packed && bits < 8) tieZeroPoints(context, data[0]!, data[1]!, axis, bits);
  else tieBlockNumbers(context, 3, data[0]!.space, axis.blocks);
}
