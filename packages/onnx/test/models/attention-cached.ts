import type { Value } from "@dgate/onnx";
import { type AttentionBlock, type BlockOptions, blockShape, type Pattern } from "./attention-block.ts";
import { type GroupedOptions, groupedAttention } from "./attention-grouped.ts";
import { gpt2Context, gpt2Projection } from "./attention-packed.ts";
import type { AttentionShape } from "./attention-parts.ts";
import type { SdpaMask } from "./attention-sdpa.ts";
import {
  type CachedLayer,
  cacheInputs,
  cacheOutputs,
  extendCache,
  type LayerCache,
  mergeBranches,
} from "./cache.ts";
import { Exporter } from "./exporter.ts";
import * as content from "./input-content.ts";
import { triangularMask } from "./masks.ts";
import type { AttentionExpectation } from "./transformer-model.ts";

/** GPT-2's attention with a cache: `Concat(past, new)` of keys and values along the sequence before the scores. */
export function gpt2CachedAttention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  { past, mask }: { readonly past: LayerCache | undefined; readonly mask?: Value | undefined },
): CachedLayer {
  return ex.within("attn", () => {
    const { qkv, parts } = gpt2Projection(ex, x, shape);
    const present = extendCache(ex, past, parts[1], parts[2]);
    return { ...gpt2Context(ex, qkv, [parts[0], present.key, present.value], shape, mask), present };
  });
}

/** Llama's attention with a cache of the heads before they are repeated. */
export function groupedCachedAttention(
  ex: Exporter,
  x: Value,
  shape: AttentionShape,
  { past, ...options }: Omit<GroupedOptions, "extend"> & { readonly past: LayerCache | undefined },
): CachedLayer {
  let present: LayerCache | undefined;
  const attended = groupedAttention(ex, x, shape, {
    ...options,
    extend: (key, value) => {
      present = extendCache(ex, past, key, value);
      return [present.key, present.value];
    },
  });
  if (!present) throw new Error("unreachable: the attention does not use its cache");
  return { ...attended, present };
}

/** A causal additive mask for queries that follow a past. */
export function cachedCausalMask(ex: Exporter, x: Value, past: LayerCache | undefined): SdpaMask {
  const queries = ex.scalar(ex.sizeOf(x, 1));
  const keys = past ? ex.op("Add", [ex.scalar(ex.sizeOf(past.key, 2)), queries]) : queries;
  return { kind: "additive", mask: triangularMask(ex, queries, keys) };
}

type Layer = (ex: Exporter, x: Value, shape: AttentionShape, past: LayerCache | undefined) => CachedLayer;

const gpt2Layer: Layer = (ex, x, shape, past) => gpt2CachedAttention(ex, x, shape, { past });

const groupedLayer: Layer = (ex, x, shape, past) =>
  groupedCachedAttention(ex, x, shape, { past, mask: cachedCausalMask(ex, x, past) });

interface CachedDefaults extends BlockOptions {
  readonly merged?: boolean;
  readonly useCache?: boolean;
}

/** A layer with past inputs and present outputs; merged, it is written once for each branch of If(use_cache_branch). */
function cachedPattern(name: string, defaults: CachedDefaults, layer: Layer): Pattern {
  const build = (given: BlockOptions = {}): AttentionBlock => {
    const { merged = false, useCache = true, ...options } = { ...defaults, ...given };
    const shape = blockShape(options);
    const cache = { heads: shape.kvHeads ?? shape.heads, headDim: shape.headDim };
    const ex = new Exporter(options);
    const type = ["batch_size", "sequence_length", shape.width];
    const x = ex.input("hidden_states", type, content.normal);
    const [past] = cacheInputs(ex, 1, cache);
    const attention: AttentionExpectation[] = [];
    const presentLength = "past_sequence_length + sequence_length";
    const write = (writer: Exporter, withPast: boolean): void => {
      const outer = { key: writer.outer(past!.key), value: writer.outer(past!.value) };
      const {
        y,
        present,
        attention: found,
      } = layer(writer, writer.outer(x), shape, withPast ? outer : undefined);
      attention.push({ ...found, pattern: "U15" });
      writer.output("output", y, type);
      const length = withPast ? presentLength : "sequence_length";
      cacheOutputs(writer, [present], cache, { length });
    };
    const presentShape = ["batch_size", cache.heads, presentLength, cache.headDim];
    const outputs = [
      ["output", type],
      ["present.0.key", presentShape],
      ["present.0.value", presentShape],
    ] as const;
    if (merged) mergeBranches(ex, useCache, { write, outputs });
    else write(ex, true);
    const dims = { batch_size: 2, sequence_length: 3, past_sequence_length: 4 };
    const math = { mask: "causal", past: true } as const;
    return { ...ex.finish(attention.slice(0, 1), dims), math };
  };
  return { id: "U15", name, build };
}

/** U15. */
export const cachedPatterns: readonly Pattern[] = [
  cachedPattern("KV cache, GPT-2", { opset: 13 }, gpt2Layer),
  cachedPattern("KV cache, GQA", { opset: 14, kvHeads: 2 }, groupedLayer),
  cachedPattern("merged decoder with past, GPT-2", { opset: 13, merged: true }, gpt2Layer),
  cachedPattern(
    "merged decoder without past, GPT-2",
    { opset: 13, merged: true, useCache: false },
    gpt2Layer,
  ),
  cachedPattern("merged decoder with past, GQA", { opset: 14, kvHeads: 2, merged: true }, groupedLayer),
];
