import { type Dim, type Tensor, tensor, tensorOf, type Value } from "@dgate/onnx";
import type { Attended } from "./attention-parts.ts";
import { dropDeadCode, type Exporter } from "./exporter.ts";
import * as content from "./input-content.ts";

/** The sizes of one layer's cache. */
export interface CacheShape {
  readonly heads: number;
  readonly headDim: number;
}

/** Keys and values of earlier tokens, `[batch, heads, past length, headDim]` each. */
export interface LayerCache {
  readonly key: Value;
  readonly value: Value;
}

/** An attention layer and its cache after it. */
export interface CachedLayer extends Attended {
  readonly present: LayerCache;
}

/** What an attention layer remembers. */
export interface Memory {
  /** Self-attention: earlier keys and values, which the new ones follow. */
  readonly past?: LayerCache | undefined;
  /** Cross-attention in later steps: all keys and values, so that nothing is projected. */
  readonly fixed?: LayerCache | undefined;
}

/** Names of the caches of a layer, as optimum calls them: `past_key_values.0.key`, or `.0.decoder.key` in decoders with an encoder. */
export const cacheName = (layer: number, part: string, side = ""): string => `${layer}.${side}${part}`;

/** Inputs for the caches of all layers. */
export function cacheInputs(
  ex: Exporter,
  layers: number,
  { heads, headDim }: CacheShape,
  { side = "", length = "past_sequence_length" }: { readonly side?: string; readonly length?: Dim } = {},
): LayerCache[] {
  const shape: Dim[] = ["batch_size", heads, length, headDim];
  const input = (layer: number, part: string): Value =>
    ex.input(`past_key_values.${cacheName(layer, part, side)}`, shape, content.normal);
  return Array.from({ length: layers }, (_, i) => ({ key: input(i, "key"), value: input(i, "value") }));
}

/** `Concat(past, new)` along the sequence; without a past the new ones are the whole cache. */
export function extendCache(
  ex: Exporter,
  past: LayerCache | undefined,
  key: Value,
  value: Value,
): LayerCache {
  if (!past) return { key, value };
  return { key: ex.concat([past.key, key], 2), value: ex.concat([past.value, value], 2) };
}

/** Outputs `present.0.key`, `present.0.value` … */
export function cacheOutputs(
  ex: Exporter,
  caches: readonly LayerCache[],
  { heads, headDim }: CacheShape,
  { side = "", length }: { readonly side?: string; readonly length: Dim },
): void {
  const shape: Dim[] = ["batch_size", heads, length, headDim];
  caches.forEach((cache, i) => {
    ex.output(`present.${cacheName(i, "key", side)}`, cache.key, shape);
    ex.output(`present.${cacheName(i, "value", side)}`, cache.value, shape);
  });
}

/** A model whose two branches were merged, and what only the merger knows. */
export interface Merged {
  /** Writes one branch: its outputs, under the names that the model's outputs get. */
  readonly write: (branch: Exporter, withPast: boolean) => void;
  /** Shapes of the outputs by name. */
  readonly outputs: readonly (readonly [name: string, shape: readonly Dim[]])[];
}

/**
 * One file for the first and the later steps of a decoder, as optimum merges them: `If(use_cache_branch)`, with_past as then-branch,
 * no_past as else-branch. Both take inputs and weights from the graph around them, and write outputs of the same names.
 */
export function mergeBranches(ex: Exporter, useCache: boolean, { write, outputs }: Merged): void {
  const flag = ex.input("use_cache_branch", [1], content.flag(useCache));
  const branch = (name: string, withPast: boolean) => {
    const writer = ex.branch(name);
    write(writer, withPast);
    dropDeadCode(writer.graph);
    return { kind: "graph" as const, value: writer.graph };
  };
  const attributes = { then_branch: branch("with_past", true), else_branch: branch("no_past", false) };
  const values = outputs.map(([name, shape]) => ex.graph.addValue(name, { dtype: "float32", shape }));
  ex.graph.addNode({ op: "If", inputs: [flag], outputs: values, attributes, name: "optimum::if" });
  for (const value of values) ex.graph.addOutput(value);
}

/**
 * What the with-past branch of an encoder–decoder gives for the caches of the encoder, which it does not compute: the past passed
 * through, or optimum's constants `[0, heads, 1, headDim]` without elements, which the caller replaces by the past.
 */
export function unchangedCache(
  ex: Exporter,
  past: LayerCache,
  { heads, headDim }: CacheShape,
  style: "identity" | "constant",
): LayerCache {
  const empty = (): Tensor => tensorOf("float32", [0, heads, 1, headDim], []);
  const pass = (value: Value): Value =>
    style === "identity" ? ex.op("Identity", [value]) : ex.op("Constant", [], { value: tensor(empty()) });
  return { key: pass(past.key), value: pass(past.value) };
}
