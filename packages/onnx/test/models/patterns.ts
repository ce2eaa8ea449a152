import { type AttentionBlock, attentionBlock, type BlockOptions } from "./attention-block.ts";
import { causalAttention, distilBertAttention, eagerAttention } from "./attention-eager.ts";
import { sdpaAttention } from "./attention-sdpa.ts";
import { expandedMask, extendedMask, lowest } from "./masks.ts";

/** One form of attention of the pattern table, as a model of a single layer. */
export interface Pattern {
  /** The row of the table: "U1" … "U16". */
  readonly id: string;
  readonly name: string;
  readonly build: (options?: BlockOptions) => AttentionBlock;
}

/** Every form of un-fused attention that test models can have, in the order of the table. */
export const patterns: readonly Pattern[] = [
  {
    id: "U1",
    name: "BERT eager",
    build: (options) =>
      attentionBlock({ opset: 11, ...options }, { mask: "padding" }, (ex, x, shape, mask) =>
        eagerAttention(ex, x, shape, { mask: extendedMask(ex, mask!) }),
      ),
  },
  {
    id: "U2",
    name: "eager, scale as Mul",
    build: (options) =>
      attentionBlock({ opset: 14, ...options }, { mask: "padding" }, (ex, x, shape, mask) =>
        eagerAttention(ex, x, shape, { mask: extendedMask(ex, mask!, lowest), scaling: "Mul" }),
      ),
  },
  {
    id: "U3",
    name: "DistilBERT",
    build: (options) =>
      attentionBlock({ opset: 11, ...options }, { mask: "padding" }, (ex, x, shape, mask) =>
        distilBertAttention(ex, x, shape, mask!),
      ),
  },
  {
    id: "U4",
    name: "causal Where",
    build: (options) =>
      attentionBlock({ opset: 13, ...options }, { mask: "causal" }, (ex, x, shape) =>
        causalAttention(ex, x, shape),
      ),
  },
  {
    id: "U4",
    name: "causal Where and padding",
    build: (options) =>
      attentionBlock({ opset: 11, ...options }, { mask: "causal-padding" }, (ex, x, shape, mask) =>
        causalAttention(ex, x, shape, { mask: extendedMask(ex, mask!) }),
      ),
  },
  {
    id: "U5",
    name: "ViT",
    build: (options) =>
      attentionBlock({ opset: 13, ...options }, {}, (ex, x, shape) => eagerAttention(ex, x, shape)),
  },
  {
    id: "U6",
    name: "SDPA",
    build: (options) =>
      attentionBlock({ opset: 14, ...options }, {}, (ex, x, shape) => sdpaAttention(ex, x, shape)),
  },
  {
    id: "U6",
    name: "SDPA with mask",
    build: (options) =>
      attentionBlock({ opset: 14, ...options }, { mask: "padding" }, (ex, x, shape, mask) => {
        const additive = expandedMask(ex, mask!, ex.sizeOf(x, 1));
        return sdpaAttention(ex, x, shape, { mask: { kind: "additive", mask: additive } });
      }),
  },
  {
    id: "U6",
    name: "SDPA with boolean mask and guard",
    build: (options) =>
      attentionBlock({ opset: 17, ...options }, { mask: "padding" }, (ex, x, shape, mask) => {
        const seen = ex.unsqueeze(ex.unsqueeze(ex.cast(mask!, "bool"), [1]), [2]);
        return sdpaAttention(ex, x, shape, { mask: { kind: "boolean", mask: seen, guard: true } });
      }),
  },
  {
    id: "U6",
    name: "SDPA causal",
    build: (options) =>
      attentionBlock({ opset: 14, ...options }, { mask: "causal" }, (ex, x, shape) =>
        sdpaAttention(ex, x, shape, { mask: { kind: "causal" } }),
      ),
  },
];
