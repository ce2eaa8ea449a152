import type { Coupling } from "../coupling/analyse.ts";
import type { Space } from "../coupling/space.ts";
import type { Dim, Node, Value } from "../graph/graph.ts";
import { divideDims } from "../infer/dims.ts";
import { attentionSizes, groupedSizes, multiHeadSizes, packedWidths } from "../infer/fused-shapes.ts";
import { NodeView } from "../infer/view.ts";
import { intAttribute } from "../ops/attributes.ts";

/** How an attention is written: which fused operator. */
type FusedPattern = "Attention" | "QAttention" | "MHA" | "GQA" | "ai.onnx.Attention";

/** A fused attention operator and its heads. */
export interface FusedAttention {
  readonly node: Node;
  readonly pattern: FusedPattern;
  /** Query heads: key–value heads × the queries that share each. */
  readonly heads: Space;
  readonly kvHeads: Space;
  /** Dims of a head of Q and K, and of V. */
  readonly headDim: number;
  readonly valueDim: number;
  /** Leaves within a head. */
  readonly dimLeaves: readonly Space[];
  /** The input that V comes with: a weight of the operator's own, or what a layer before it makes. */
  readonly values: Value;
}

/** What the shapes say of a node's heads. */
interface Sizes {
  readonly keyDim: Dim;
  readonly valueDim: Dim;
  /** Attributes that count query heads and key–value heads, or the inputs that have them on axis 1. */
  readonly heads: string | number;
  readonly kvHeads: string | number;
}

const counted = (keyDim: Dim, valueDim: Dim, kvHeads = "num_heads"): Sizes => {
  return { keyDim, valueDim, heads: "num_heads", kvHeads };
};

const packedSizes = (view: NodeView): Sizes => {
  const count = intAttribute(view.node, "num_heads", 0);
  const [, key, value] = packedWidths(view);
  return counted(divideDims(key, count), divideDims(value, count));
};

const patterns: Readonly<Record<string, readonly [FusedPattern, (view: NodeView) => Sizes | undefined]>> = {
  "com.microsoft.Attention": ["Attention", packedSizes],
  "com.microsoft.QAttention": ["QAttention", packedSizes],
  "com.microsoft.MultiHeadAttention": [
    "MHA",
    (view) => {
      const sizes = multiHeadSizes(view);
      return sizes && counted(sizes.keyDim, sizes.valueDim);
    },
  ],
  "com.microsoft.GroupQueryAttention": [
    "GQA",
    (view) => {
      const { dim } = groupedSizes(view);
      return counted(dim, dim, "kv_num_heads");
    },
  ],
  Attention: [
    "ai.onnx.Attention",
    (view) => {
      const sizes = attentionSizes(view);
      if (!sizes) return undefined;
      const [heads, kvHeads] = sizes.apart ? [0, 1] : ["q_num_heads", "kv_num_heads"];
      return { keyDim: sizes.keyDim, valueDim: sizes.valueDim, heads, kvHeads };
    },
  ],
};

/**
 * The heads of a node that is a fused attention operator, as the analysis found them; `undefined` for any other node and
 * for a form whose sizes are not known (its channels are blocked then, with the reason).
 */
export function fusedAttentionOf(node: Node, coupling: Coupling): FusedAttention | undefined {
  const key = node.domain === "" ? node.op : `${node.domain}.${node.op}`;
  const [pattern, sizesOf] = Object.hasOwn(patterns, key) ? patterns[key]! : [];
  const sizes = sizesOf?.(new NodeView(coupling.graph, node, coupling.inference));
  if (!pattern || !sizes) return undefined;
  const [heads, kvHeads] = [sizes.heads, sizes.kvHeads].map((place) => spaceOf(node, coupling, place));
  const { keyDim, valueDim } = sizes;
  const values = node.inputs[isPacked(pattern) ? 1 : 2] ?? node.inputs[1] ?? node.inputs[0];
  if (!heads || !kvHeads || !values) return undefined;
  if (typeof keyDim !== "number" || typeof valueDim !== "number") return undefined;
  const dimLeaves = dimLeavesOf(node, coupling, isPacked(pattern) ? [1] : [0, 1, 2], heads);
  return { node, pattern, heads, kvHeads, headDim: keyDim, valueDim, dimLeaves, values };
}

/** Whether the operator projects to Q, K and V itself. */
const isPacked = (pattern: FusedPattern): boolean => pattern === "Attention" || pattern === "QAttention";

/** What the last axes of these inputs are made of besides heads. */
function dimLeavesOf(
  { inputs }: Node,
  { axesOf }: Coupling,
  channelInputs: readonly number[],
  heads: Space,
): Space[] {
  const leaves = channelInputs.flatMap((i) => (inputs[i] && axesOf(inputs[i])?.at(-1)?.leaves()) ?? []);
  return [...new Set(leaves)].filter((leaf) => !heads.contains(leaf));
}

/** The space that an attribute counts, or that an input has on axis 1. */
function spaceOf(node: Node, { sizes, axesOf }: Coupling, place: string | number): Space | undefined {
  if (typeof place === "number") {
    const input = node.inputs[place];
    return input && axesOf(input)?.[1];
  }
  for (const use of sizes) {
    if (use.kind === "attribute" && use.node === node && use.name === place) return use.space;
  }
  return undefined;
}
