import type { DiffOps } from "../operators/diff-ops.ts";
import { int } from "../graph/attribute.ts";
import type { Dim, Node } from "../graph/types.ts";
import { multiplyDims } from "../infer/dims.ts";
import { floatAttribute, intAttribute, intsAttribute } from "../ops/attributes.ts";
import {
  attend,
  causal,
  grow,
  hiding,
  joinHeads,
  lowest,
  paddingBias,
  splitHeads,
} from "./attention-core.ts";
import type { Decomposition } from "./decomposition.ts";
import { knownSize, refuse } from "./refuse.ts";

/** com.microsoft.Attention: one projection for Q, K and V, and a cache `[2, batch, heads, positions, dim]`. */
export const packedAttention: Decomposition = (ops, { node, inputs, wanted }) => {
  const [x, weight, bias, mask, past, scoreBias] = inputs;
  if (!x || !weight || ops.rank(x) !== 3) refuse(node, "it does not read [batch, positions, width]");
  if (intAttribute(node, "do_rotary", 0)) refuse(node, "it turns Q and K itself (do_rotary)");
  if (intAttribute(node, "past_present_share_buffer", 0)) refuse(node, "its caches share one buffer");
  const heads = intAttribute(node, "num_heads", 0);
  const widths = qkvWidths(node, ops.shape(weight)?.[1]);
  const product = ops.matmul(x, weight);
  const projected = bias === undefined ? product : ops.add(product, bias);
  const parts = ops.apply("Split", [projected, ops.int64(widths)], { axis: int(2) }, 3);
  const [q, freshK, freshV] = parts.map((part) => splitHeads(ops, part, heads));
  const [pastK, pastV] = past === undefined ? [] : [0, 1].map((i) => cachePart(ops, past, i));
  const [k, v] = [grow(ops, pastK, freshK!), grow(ops, pastV, freshV!)];
  const biases = [maskBias(ops, { node, q: q!, k, fresh: freshK!, past: pastK, mask }), scoreBias];
  const scale = floatAttribute(node, "scale", 0) || 1 / Math.sqrt(widths[0]! / heads);
  const { context } = attend(ops, { q: q!, k, v, scale, biases });
  const present = wanted(1)
    ? ops.concat(
        [k, v].map((part) => ops.unsqueeze(part, [0])),
        0,
      )
    : undefined;
  return [joinHeads(ops, context), present];
};

function qkvWidths(node: Node, columns: Dim): readonly number[] {
  const given = intsAttribute(node, "qkv_hidden_sizes");
  if (given?.length === 3) return given;
  const third = knownSize(node, columns, "width of its weight") / 3;
  return [third, third, third];
}

/** Keys or values of a cache of both. */
const cachePart = <T>(ops: DiffOps<T>, past: T, index: number): T =>
  ops.squeeze(ops.slice(past, 0, index, index + 1), [0]);

/** What com.microsoft.Attention and MultiHeadAttention hide keys with. */
export interface Masking<T> {
  readonly node: Node;
  /** `[batch, heads, queries, dim]` */
  readonly q: T;
  /** `[batch, heads, keys, dim]`, those of the cache first. */
  readonly k: T;
  /** The keys that are not of the cache. */
  readonly fresh: T;
  /** The cached keys. */
  readonly past: T | undefined;
  readonly mask: T | undefined;
}

/** The mask of keys and the order of positions as one bias; a key that comes later stays hidden in rows that hide all others. */
export function maskBias<T>(ops: DiffOps<T>, { node, q, k, fresh, past, mask }: Masking<T>): T | undefined {
  const filler = floatAttribute(node, "mask_filter_value", -10000);
  const keys = ops.sizeOf(k, 2);
  const padding = mask === undefined ? undefined : maskOf(ops, node, mask, { q, keys, filler });
  if (!intAttribute(node, "unidirectional", 0)) return padding;
  const seen = causal(ops, {
    queries: ops.sizeOf(q, 2),
    keys,
    past: past === undefined ? undefined : ops.sizeOf(past, 2),
    // Of keys of another sequence the kernels let the last query see all.
    isLastOpen: ops.shape(fresh)?.[2] !== ops.shape(q)?.[2],
  });
  if (padding === undefined) return hiding(ops, seen, lowest, q);
  return ops.where(seen, padding, ops.scalar(lowest, q));
}

function maskOf<T>(
  ops: DiffOps<T>,
  node: Node,
  mask: T,
  { q, keys, filler }: { readonly q: T; readonly keys: T; readonly filler: number },
): T {
  const batch = ops.shape(q)?.[0];
  const length = ops.shape(mask)?.[0];
  const isRange = length !== undefined && length !== batch && length === multiplyDims([2, batch]);
  const options = { keys, batch: ops.sizeOf(q, 0), isRange, filler, like: q };
  return paddingBias(ops, mask, options) ?? refuse(node, "its mask has another rank than 1, 2 or 3");
}
