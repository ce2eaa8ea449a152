import type { DiffOps } from "../operators/diff-ops.ts";
import type { Dim, Node } from "../graph/types.ts";
import { floatAttribute, intAttribute } from "../ops/attributes.ts";
import {
  attend,
  type AttentionParts,
  type AttentionStages,
  causal,
  grow,
  hiding,
  joinHeads,
  lowest,
  splitHeads,
} from "./attention-core.ts";
import type { Decomposition } from "./decomposition.ts";
import { knownSize, refuse } from "./refuse.ts";

/** ai.onnx Attention: Q, K and V `[batch, heads, positions, dim]`, or `[batch, positions, heads · dim]` with their numbers of heads. */
export const standardAttention: Decomposition = (ops, { node, inputs, wanted }) => {
  const [query, key, value, mask, pastK, pastV, lengths] = inputs;
  if (query === undefined || key === undefined || value === undefined) return refuse(node, "it lacks inputs");
  if (lengths !== undefined) refuse(node, "it reads the lengths of its keys (nonpad_kv_seqlen)");
  const rank = ops.rank(query);
  if (rank !== 3 && rank !== 4) return refuse(node, "the rank of its query is not known");
  const joined = rank === 3;
  const heads = joined ? intAttribute(node, "q_num_heads", 0) : undefined;
  const kvHeads = joined ? intAttribute(node, "kv_num_heads", 0) : undefined;
  const q = apart(ops, query, heads);
  const k = grow(ops, pastK, apart(ops, key, kvHeads));
  const v = grow(ops, pastV, apart(ops, value, kvHeads));
  const dim = knownSize(node, ops.shape(q)?.[3], "width of a head");
  const stages = attend(ops, {
    q,
    k,
    v,
    ...groupsOf(node, ops.shape(q)?.[1], ops.shape(k)?.[1]),
    scale: floatAttribute(node, "scale", 1 / Math.sqrt(dim)),
    softcap: floatAttribute(node, "softcap", 0),
    ...masking(ops, node, { q, k, pastK, mask }),
  });
  const context = joined ? joinHeads(ops, stages.context) : stages.context;
  return [context, k, v, wanted(3) ? stageOf(node, stages) : undefined];
};

/** Heads on an axis of their own, `heads` of them if they have none yet. */
const apart = <T>(ops: DiffOps<T>, x: T, heads: number | undefined): T =>
  heads === undefined ? x : splitHeads(ops, x, heads);

function groupsOf(node: Node, heads: Dim, kvHeads: Dim): { groups?: { heads: number; kvHeads: number } } {
  if (heads !== undefined && heads === kvHeads) return {};
  const groups = {
    heads: knownSize(node, heads, "number of query heads"),
    kvHeads: knownSize(node, kvHeads, "number of key–value heads"),
  };
  return { groups };
}

interface Masked<T> {
  readonly q: T;
  readonly k: T;
  readonly pastK: T | undefined;
  readonly mask: T | undefined;
}

/** What hides keys, and where they are not hidden: no key at all is visible where the whole mask is `false` or −∞. */
function masking<T>(
  ops: DiffOps<T>,
  node: Node,
  { q, k, pastK, mask }: Masked<T>,
): Pick<AttentionParts<T>, "biases" | "visible"> {
  const past = pastK === undefined ? undefined : ops.sizeOf(pastK, 2);
  const isCausal = intAttribute(node, "is_causal", 0) !== 0;
  const seen = isCausal
    ? causal(ops, { queries: ops.sizeOf(q, 2), keys: ops.sizeOf(k, 2), past })
    : undefined;
  if (mask === undefined) return { biases: [seen && hiding(ops, seen, lowest, q)] };
  const isBool = ops.dtype(mask) === "bool";
  const shown = isBool ? mask : ops.call("Greater", [mask, ops.scalar(lowest, mask)]);
  const visible = seen === undefined ? shown : ops.call("And", [shown, seen]);
  const hidden = ops.scalar(lowest, q);
  return { biases: [ops.where(visible, isBool ? ops.scalar(0, q) : mask, hidden)], visible };
}

/** The stage that output 3 shows. */
function stageOf<T>(node: Node, { products, capped, scores, weights }: AttentionStages<T>): T {
  const stage = [products, capped, scores, weights][intAttribute(node, "qk_matmul_output_mode", 0)];
  return stage ?? refuse(node, "its qk_matmul_output_mode is not known");
}
