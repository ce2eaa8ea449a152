import type { DecompositionTable } from "./decomposition.ts";
import { groupedQueryAttention } from "./grouped-query-attention.ts";
import { multiHeadAttention } from "./multi-head-attention.ts";
import { packedAttention } from "./packed-attention.ts";
import { fusedRotaryEmbedding, rotaryEmbedding } from "./rotary.ts";
import { standardAttention } from "./standard-attention.ts";

/** Fused attention and rotary embeddings as products, softmax and sums. */
export const attentionDecompositions: DecompositionTable = {
  Attention: standardAttention,
  RotaryEmbedding: rotaryEmbedding,
  "com.microsoft.Attention": packedAttention,
  "com.microsoft.MultiHeadAttention": multiHeadAttention,
  "com.microsoft.GroupQueryAttention": groupedQueryAttention,
  "com.microsoft.RotaryEmbedding": fusedRotaryEmbedding,
};
