import type { DiffOps } from "../operators/diff-ops.ts";
import { int } from "../graph/attribute.ts";

/** The most negative float32: what hides a key whatever its score is, and stays a number when a score is added. */
export const lowest = -3.4028234663852886e38;

/** Queries, keys and values of an attention, heads on an axis of their own, and what happens to their products. */
export interface AttentionParts<T> {
  /** `[batch, heads, queries, dim]` */
  readonly q: T;
  /** `[batch, key–value heads, keys, dim]` */
  readonly k: T;
  /** `[batch, key–value heads, keys, value dim]` */
  readonly v: T;
  /** Query heads and key–value heads, where these are fewer. */
  readonly groups?: { readonly heads: number; readonly kvHeads: number };
  readonly scale: number;
  /** Scores s become `cap · tanh(s / cap)`; 0 for none. */
  readonly softcap?: number;
  /** Added to the scores, in this order; broadcast to `[batch, heads, queries, keys]`. */
  readonly biases?: readonly (T | undefined)[];
  /** Where a key is visible; a query that sees none has the result 0. Broadcast as biases are. */
  readonly visible?: T | undefined;
  /** A further score per head, `[heads]`, that takes its share of the softmax and has no value. */
  readonly sink?: T | undefined;
}

/** Stages of an attention, `[batch, heads, queries, keys]` each, and its result `[batch, heads, queries, value dim]`. */
export interface AttentionStages<T> {
  readonly products: T;
  readonly capped: T;
  readonly scores: T;
  readonly weights: T;
  readonly context: T;
}

/**
 * `softmax(scale · q·kᵀ + bias)·v` per head. The query heads of one key–value head are laid one below the other, so that nothing is
 * repeated.
 */
export function attend<T>(ops: DiffOps<T>, parts: AttentionParts<T>): AttentionStages<T> {
  const { q, k, v, groups, scale, softcap = 0, biases = [], visible, sink } = parts;
  const isGrouped = groups !== undefined && groups.heads !== groups.kvHeads;
  const fold = (x: T): T => (isGrouped ? ops.reshape(x, [0, groups.kvHeads, -1, 0]) : x);
  const unfold = (x: T): T => (isGrouped ? ops.reshape(x, [0, groups.heads, -1, 0]) : x);
  const products = unfold(ops.matmul(fold(ops.scale(q, scale)), ops.swapLast(k, 4)));
  const capped =
    softcap > 0 ? ops.scale(ops.call("Tanh", [ops.scale(products, 1 / softcap)]), softcap) : products;
  const scores = biases.reduce<T>((sum, bias) => (bias === undefined ? sum : ops.add(sum, bias)), capped);
  const shares = sink === undefined ? softmax(ops, scores) : softmaxWithSink(ops, scores, sink);
  const weights = visible === undefined ? shares : ops.maskedBy(visible, shares);
  return { products, capped, scores, weights, context: unfold(ops.matmul(fold(weights), v)) };
}

const softmax = <T>(ops: DiffOps<T>, x: T): T => ops.call("Softmax", [x], { axis: int(-1) });

function softmaxWithSink<T>(ops: DiffOps<T>, scores: T, sink: T): T {
  const column = ops.expandLike(ops.reshape(sink, [1, -1, 1, 1]), ops.slice(scores, 3, 0, 1));
  return ops.slice(softmax(ops, ops.concat([scores, column], 3)), 3, 0, -1);
}

/** `[batch, positions, heads · dim]` as `[batch, heads, positions, dim]`. */
export function splitHeads<T>(ops: DiffOps<T>, x: T, heads: number): T {
  return ops.transpose(ops.reshape(x, [0, 0, heads, -1]), [0, 2, 1, 3]);
}

/** The reverse of `splitHeads`. */
export function joinHeads<T>(ops: DiffOps<T>, x: T): T {
  const [, heads, , dim] = ops.shape(x) ?? [];
  const width = typeof heads === "number" && typeof dim === "number" ? heads * dim : -1;
  return ops.reshape(ops.transpose(x, [0, 2, 1, 3]), [0, 0, width]);
}

/** 0, 1, … up to a size, which is an int64 vector of one element. */
export function range<T>(ops: DiffOps<T>, size: T): T {
  const [zero, one] = [0, 1].map((value) => ops.constant("int64", [], [value]));
  return ops.call("Range", [zero, ops.squeeze(size, [0]), one]);
}

/** Which of `keys` keys, of which `past` come before the first query, a query may see: `[queries, keys]`. */
export function causal<T>(ops: DiffOps<T>, { queries, keys, past, isLastOpen = false }: Lengths<T>): T {
  const rows = ops.unsqueeze(range(ops, queries), [1]);
  const reach = past === undefined ? rows : ops.add(rows, past);
  if (!isLastOpen) return ops.call("LessOrEqual", [range(ops, keys), reach]);
  const isLast = ops.call("Equal", [rows, ops.shift(queries, -1)]);
  return ops.call("LessOrEqual", [range(ops, keys), ops.where(isLast, keys, reach)]);
}

/** Sizes as int64 vectors of one element. */
export interface Lengths<T> {
  readonly queries: T;
  readonly keys: T;
  readonly past?: T | undefined;
  /** Whether the last query sees all keys. */
  readonly isLastOpen?: boolean;
}

/** What is added to scores: 0 where a key is visible, else `filler`. */
export function hiding<T>(ops: DiffOps<T>, visible: T, filler: number, like: T): T {
  return ops.where(visible, ops.scalar(0, like), ops.scalar(filler, like));
}

/**
 * The mask of com.microsoft.Attention and MultiHeadAttention as what is added to scores: of 0 and 1 for keys `[batch, keys]` or pairs
 * `[batch, queries, keys]`, or the number of keys of each sample, `[batch]`, or `[2 · batch]` with the first key of each behind it.
 */
export function paddingBias<T>(
  ops: DiffOps<T>,
  mask: T,
  { keys, batch, isRange, filler, like }: PaddingOptions<T>,
): T | undefined {
  const zero = ops.scalar(0, mask);
  const shown = (): T => ops.call("Greater", [mask, zero]);
  switch (ops.rank(mask)) {
    case 1: {
      const positions = ops.cast(range(ops, keys), ops.dtype(mask));
      const column = (x: T): T => ops.reshape(x, [-1, 1, 1, 1]);
      if (!isRange) return hiding(ops, ops.call("Less", [positions, column(mask)]), filler, like);
      const part = (from: T, to: T): T =>
        column(ops.call("Slice", [mask, from, to, ops.int64([0]), ops.int64([1])]));
      const before = ops.call("Less", [positions, part(ops.int64([0]), batch)]);
      const after = ops.call("GreaterOrEqual", [positions, part(batch, ops.add(batch, batch))]);
      return hiding(ops, ops.call("And", [before, after]), filler, like);
    }
    case 2:
      return hiding(ops, ops.unsqueeze(shown(), [1, 2]), filler, like);
    case 3:
      return hiding(ops, ops.unsqueeze(shown(), [1]), filler, like);
    default:
      return undefined;
  }
}

interface PaddingOptions<T> {
  readonly keys: T;
  readonly batch: T;
  /** Whether a mask of one axis has the first key of each sample too. */
  readonly isRange: boolean;
  readonly filler: number;
  readonly like: T;
}

/** A cache with the new keys or values behind it, on the axis of positions. */
export function grow<T>(ops: DiffOps<T>, past: T | undefined, fresh: T): T {
  return past === undefined ? fresh : ops.concat([past, fresh], 2);
}
