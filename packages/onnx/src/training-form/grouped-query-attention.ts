import type { DiffOps } from "../operators/diff-ops.ts";
import { int } from "../graph/attribute.ts";
import type { Node } from "../graph/types.ts";
import { floatAttribute, intAttribute } from "../ops/attributes.ts";
import { attend, hiding, joinHeads, lowest, range, splitHeads } from "./attention-core.ts";
import type { Decomposed, Decomposition } from "./decomposition.ts";
import { knownSize, refuse } from "./refuse.ts";
import { rmsNormalization } from "./rms-normalization.ts";
import { rotate, rowsAt } from "./rotary.ts";

/** A position that no query reaches. */
const nowhere = 2 ** 31;

/**
 * com.microsoft.GroupQueryAttention. Each sample has a cache of its own length in a common buffer, and its new keys come behind it. Keys are left
 * where they lie, those of the buffer first, then the new ones; what a query sees follows from the positions that they stand for.
 */
export const groupedQueryAttention: Decomposition = (ops, at) => {
  const { node, inputs, wanted } = at;
  const [, , , pastK, pastV, , , , , , scoreBias, sink] = inputs;
  checkForm(at);
  const heads = intAttribute(node, "num_heads", 0);
  const kvHeads = intAttribute(node, "kv_num_heads", 0);
  const { q: plainQ, k: plainK, v: freshV, dim } = projections(ops, node, inputs, { heads, kvHeads });
  const past = pastK === undefined ? undefined : pastLengths(ops, inputs, plainQ);
  const turn = rotation(ops, node, inputs, { past, q: plainQ, dim });
  const epsilon = floatAttribute(node, "qk_norm_epsilon", 1e-6);
  const [q, freshK] = [plainQ, plainK].map((x, i) => {
    const gamma = inputs[14 + i];
    return turn(gamma === undefined ? x : rmsNormalization(ops, x, { gamma, epsilon }));
  }) as [typeof plainQ, typeof plainK]; // as many as there were
  const places = placesOf(ops, { q, pastK, past });
  const k = pastK === undefined ? freshK : ops.concat([pastK, freshK], 2);
  const v = pastV === undefined ? freshV : ops.concat([pastV, freshV], 2);
  const isSmooth = intAttribute(node, "smooth_softmax", 0) !== 0;
  const zeros = (): typeof q => ops.constant(ops.dtype(q), [heads], new Float64Array(heads));
  const { context } = attend(ops, {
    q,
    k,
    v,
    groups: { heads, kvHeads },
    scale: floatAttribute(node, "scale", 0) || 1 / Math.sqrt(dim),
    softcap: floatAttribute(node, "softcap", 0),
    biases: [
      scoreBias === undefined || past === undefined ? scoreBias : byKey(ops, scoreBias, places),
      hiding(ops, visible(ops, node, inputs, places), lowest, q),
    ],
    sink: sink ?? (isSmooth ? zeros() : undefined),
  });
  const present = (x: typeof q): typeof q =>
    past === undefined ? x : ops.matmul(selection(ops, places, presentLength(ops, inputs), q), x);
  return [joinHeads(ops, context), wanted(1) ? present(k) : undefined, wanted(2) ? present(v) : undefined];
};

function checkForm({ inputs, node, wanted }: Decomposed<unknown>): void {
  const [, key, value, pastK, pastV, lengths, total] = inputs;
  if (lengths === undefined || total === undefined) refuse(node, "it does not say the lengths of its keys");
  if ((key === undefined) !== (value === undefined) || (pastK === undefined) !== (pastV === undefined))
    refuse(node, "it has keys without values");
  if (inputs[12] !== undefined || inputs[13] !== undefined) refuse(node, "its cache is quantized");
  if (intAttribute(node, "sliding_window_cache", 0)) refuse(node, "its cache slides (sliding_window_cache)");
  if (wanted(3)) refuse(node, "it gives its scores");
}

interface Projections<T> {
  readonly q: T;
  readonly k: T;
  readonly v: T;
  readonly dim: number;
}

/** Q, K and V as `[batch, heads, positions, dim]`, of one input or of three. */
function projections<T>(
  ops: DiffOps<T>,
  node: Node,
  [query, key, value]: readonly (T | undefined)[],
  { heads, kvHeads }: { readonly heads: number; readonly kvHeads: number },
): Projections<T> {
  const shape = query === undefined ? undefined : ops.shape(query);
  if (query === undefined || shape?.length !== 3)
    return refuse(node, "it does not read [batch, positions, width]");
  const width = knownSize(node, shape[2], "width of its query");
  if (key === undefined || value === undefined) {
    const dim = width / (heads + 2 * kvHeads);
    const sizes = ops.int64([heads * dim, kvHeads * dim, kvHeads * dim]);
    const parts = ops.apply("Split", [query, sizes], { axis: int(2) }, 3);
    const [q, k, v] = parts.map((part, i) => splitHeads(ops, part, i === 0 ? heads : kvHeads));
    return { q: q!, k: k!, v: v!, dim };
  }
  if (ops.rank(key) !== 3 || ops.rank(value) !== 3)
    return refuse(node, "its keys have another layout than [batch, positions, heads · dim]");
  const [k, v] = [key, value].map((x) => splitHeads(ops, x, kvHeads));
  return { q: splitHeads(ops, query, heads), k: k!, v: v!, dim: width / heads };
}

/** The length of each sample's cache, `[batch, 1]`: all of its keys but the new ones, and none for a first prompt with padding. */
function pastLengths<T>(ops: DiffOps<T>, inputs: readonly (T | undefined)[], q: T): T {
  const last = ops.cast(ops.reshape(inputs[5]!, [-1, 1]), "int64");
  const before = ops.sub(ops.shift(last, 1), ops.sizeOf(q, 2));
  return ops.call("Max", [before, ops.int64([0])]);
}

interface RotationOptions<T> {
  readonly past: T | undefined;
  readonly q: T;
  readonly dim: number;
}

/** Turns Q or K by the positions of the new keys, where the operator does so. */
function rotation<T>(
  ops: DiffOps<T>,
  node: Node,
  inputs: readonly (T | undefined)[],
  { past, q, dim }: RotationOptions<T>,
): (x: T) => T {
  const [cosines, sines, given] = inputs.slice(7, 10);
  if (!intAttribute(node, "do_rotary", 0)) return (x) => x;
  if (cosines === undefined || sines === undefined) return refuse(node, "it has no cosines and sines");
  const order = ops.unsqueeze(range(ops, ops.sizeOf(q, 2)), [0]);
  const at = given ?? (past === undefined ? order : ops.add(order, past));
  const half = knownSize(node, ops.shape(cosines)?.[1], "width of its cosines");
  const turning = {
    cosines: rowsAt(ops, cosines, at, 1),
    sines: rowsAt(ops, sines, at, 1),
    dims: 2 * half,
    isInterleaved: intAttribute(node, "rotary_interleaved", 0) !== 0,
  };
  return (x) => rotate(ops, x, dim, turning);
}

/** Positions that queries `[batch, queries, 1]` and keys `[batch, 1, keys]` stand for. */
interface Places<T> {
  readonly queries: T;
  readonly keys: T;
}

function placesOf<T>(
  ops: DiffOps<T>,
  { q, pastK, past }: { readonly q: T; readonly pastK: T | undefined; readonly past: T | undefined },
): Places<T> {
  const fresh = ops.unsqueeze(range(ops, ops.sizeOf(q, 2)), [0]);
  if (pastK === undefined || past === undefined)
    return { queries: ops.unsqueeze(fresh, [2]), keys: ops.unsqueeze(fresh, [1]) };
  const buffer = ops.unsqueeze(range(ops, ops.sizeOf(pastK, 2)), [0]);
  const far = ops.constant("int64", [], [nowhere]);
  const cached = ops.where(ops.call("Less", [buffer, past]), buffer, far);
  const behind = ops.add(fresh, past);
  return {
    queries: ops.unsqueeze(behind, [2]),
    keys: ops.unsqueeze(ops.concat([cached, behind], 1), [1]),
  };
}

/** Keys that are not later than the query, nor too far before it; all of the sample's where order does not count. */
function visible<T>(
  ops: DiffOps<T>,
  node: Node,
  inputs: readonly (T | undefined)[],
  { queries, keys }: Places<T>,
): T {
  if (!intAttribute(node, "causal", 1)) {
    const last = ops.cast(ops.reshape(inputs[5]!, [-1, 1, 1]), "int64");
    return ops.unsqueeze(ops.call("LessOrEqual", [keys, last]), [1]);
  }
  const window = intAttribute(node, "local_window_size", -1);
  const reached = ops.call("LessOrEqual", [keys, queries]);
  if (window <= 0) return ops.unsqueeze(reached, [1]);
  const near = ops.call("Greater", [keys, ops.shift(queries, -window)]);
  return ops.unsqueeze(ops.call("And", [reached, near]), [1]);
}

/** 1 where a position is that of a key: `[batch, 1, positions, keys]`. */
function selection<T>(ops: DiffOps<T>, { keys }: Places<T>, positions: T, like: T): T {
  const rows = ops.unsqueeze(range(ops, positions), [1]);
  return ops.unsqueeze(ops.cast(ops.call("Equal", [rows, keys]), ops.dtype(like)), [1]);
}

/** A bias that goes by positions, `[…, queries, positions]`, for the keys in their order. */
function byKey<T>(ops: DiffOps<T>, bias: T, places: Places<T>): T {
  // 0 · −∞ is no number.
  const finite = ops.call("Max", [bias, ops.scalar(lowest, bias)]);
  return ops.matmul(finite, selection(ops, places, ops.sizeOf(bias, 3), bias));
}

/** The buffer, longer if all keys do not fit. */
function presentLength<T>(ops: DiffOps<T>, inputs: readonly (T | undefined)[]): T {
  const total = ops.cast(ops.reshape(inputs[6]!, [1]), "int64");
  return ops.call("Max", [ops.sizeOf(inputs[3]!, 2), total]);
}
