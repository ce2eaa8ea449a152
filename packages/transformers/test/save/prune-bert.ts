import { join } from "node:path";
import { type HeadGates, openHeadGates } from "../../src/index.ts";
import type { PrunedTransformer } from "../../src/prune/pruned-transformer.ts";

/** Heads of each layer that stay. */
const bertHeads: readonly (readonly number[])[] = [[0, 1, 2, 3, 4, 5, 6, 7], [1, 3], [2], [0, 5, 6]];

/** Sentences whose logits are compared. */
export const sentences: readonly string[] = [
  "a gripping, beautifully acted film",
  "dull",
  "it is neither funny nor sad, and far too long for what little it has to say",
  "the best thing about this picture is that it ends",
];

/** The sentiment classifier of the data folder with heads unevenly removed, and two thirds of the neurons. */
export async function pruneBert(data: string, transformers?: unknown): Promise<PrunedTransformer> {
  const gates: HeadGates = await openHeadGates(join(data, "models/bert-mini-sst2"), {
    sites: ["heads", "ffn"],
    ...(transformers !== undefined && { transformers }),
  });
  const kept: Record<string, readonly number[]> = {};
  for (const [layer, { name }] of gates.heads.blocks.entries()) kept[name] = bertHeads[layer]!;
  for (const { name, groups } of gates.ffn.blocks) {
    kept[name] = Array.from({ length: groups }, (_, neuron) => neuron).filter((neuron) => neuron % 3 === 0);
  }
  return gates.prune({ kept });
}
