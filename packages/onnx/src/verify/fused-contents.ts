import type { Graph, Node, Value } from "../graph/graph.ts";
import { ruleOf } from "../ops/rule-of.ts";

/** Inputs that index rows, with the input that has these rows on axis 0. */
const tables: Readonly<Record<string, Readonly<Record<number, number>>>> = {
  RotaryEmbedding: { 3: 1 },
  "com.microsoft.RotaryEmbedding": { 1: 2 },
  "com.microsoft.GroupQueryAttention": { 9: 7 },
  "com.microsoft.EmbedLayerNormalization": { 0: 2, 1: 4, 8: 3 },
};

/** How many rows the table has that input `index` of a fused operator picks from; `undefined` if it picks none. */
export function fusedTableRows(node: Node, index: number): number | undefined {
  const table = ruleOf(tables, node)?.[index];
  return table === undefined ? undefined : node.inputs[table]?.data?.shape[0];
}

const counting = new Set(["Cast", "Identity", "ReduceSum", "Reshape", "Squeeze", "Sub", "Unsqueeze"]);

/**
 * Whether a mask is counted to the lengths that GroupQueryAttention reads (`ReduceSum → Sub → Cast → seqlens_k`). Those must
 * be the real ones, or the kernel reads past its caches: such a mask is all ones.
 */
export function countsLengths(graph: Graph, mask: Value): boolean {
  const seen = new Set<Value>();
  const open = [mask];
  for (let at = open.pop(); at; at = open.pop()) {
    if (seen.has(at)) continue;
    seen.add(at);
    for (const { node, index } of graph.uses(at)) {
      if (!node || index < 0) continue;
      if (node.op === "GroupQueryAttention" && index === 5) return true;
      if (index === 0 && node.domain === "" && counting.has(node.op)) {
        open.push(...node.outputs.filter((output) => output !== undefined));
      }
    }
  }
  return false;
}
