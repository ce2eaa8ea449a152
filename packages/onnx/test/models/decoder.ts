import type { Dim, Value } from "@dgate/onnx";
import { type CacheShape, cacheInputs, cacheOutputs, type LayerCache, mergeBranches } from "./cache.ts";
import type { Exporter } from "./exporter.ts";
import * as content from "./input-content.ts";
import type { AttentionExpectation, TransformerModel } from "./transformer-model.ts";

/**
 * Which file of a decoder: without caches; for the first step (present outputs only); for later steps (past inputs too); or both
 * steps in one file behind If(use_cache_branch).
 */
export type CacheMode = "none" | "first" | "past" | "merged";

/** Options that every decoder takes. */
export interface CacheOptions {
  readonly cache?: CacheMode;
  /** What `use_cache_branch` is fed with (default true). */
  readonly useCache?: boolean;
}

/** What a decoder writes, in the main graph or in one branch. */
export interface DecoderBody {
  /** `[batch, sequence, vocabulary]`. */
  readonly logits: Value;
  readonly presents: readonly LayerCache[];
  readonly attention: readonly AttentionExpectation[];
}

/** The inputs of a decoder as seen from the graph that is written. */
export interface DecoderInputs {
  readonly ids: Value;
  readonly mask: Value;
  readonly pasts: readonly (LayerCache | undefined)[];
}

const pastLength = "past_sequence_length";
const totalLength = `${pastLength} + sequence_length`;

/** Length of `attention_mask` in each mode; optimum gives it a name of its own in merged files. */
const maskLength: { readonly [M in CacheMode]: string } = {
  none: "sequence_length",
  first: "sequence_length",
  past: totalLength,
  merged: "attention_mask_sequence_length",
};

/** A decoder-only language model with inputs `input_ids`, `attention_mask` and caches, outputs `logits` and caches. */
export function decoderModel(
  ex: Exporter,
  { cache: mode = "none", useCache = true }: CacheOptions,
  {
    layers,
    shape,
    vocabulary,
  }: { readonly layers: number; readonly shape: CacheShape; readonly vocabulary: number },
  body: (ex: Exporter, inputs: DecoderInputs) => DecoderBody,
): TransformerModel {
  const ids = ex.input("input_ids", ["batch_size", "sequence_length"], content.tokens(vocabulary));
  const mask = ex.input("attention_mask", ["batch_size", maskLength[mode]], content.mask);
  const caches = mode === "past" || mode === "merged" ? cacheInputs(ex, layers, shape) : [];
  const logitsShape: Dim[] = ["batch_size", "sequence_length", vocabulary];
  let attention: readonly AttentionExpectation[] = [];
  const write = (writer: Exporter, withPast: boolean): void => {
    const pasts = Array.from({ length: layers }, (_, i) => {
      const cache = withPast ? caches[i] : undefined;
      return cache && { key: writer.outer(cache.key), value: writer.outer(cache.value) };
    });
    const inputs = { ids: writer.outer(ids), mask: writer.outer(mask), pasts };
    const written = body(writer, inputs);
    attention = written.attention;
    writer.output("logits", written.logits, logitsShape);
    const length = withPast ? totalLength : "sequence_length";
    if (mode !== "none") cacheOutputs(writer, written.presents, shape, { length });
  };
  if (mode === "merged") {
    const presentShape: Dim[] = ["batch_size", shape.heads, totalLength, shape.headDim];
    const names = Array.from({ length: layers }, (_, i) => [`present.${i}.key`, `present.${i}.value`]).flat();
    const outputs = [["logits", logitsShape] as const, ...names.map((name) => [name, presentShape] as const)];
    mergeBranches(ex, useCache, { write, outputs });
  } else write(ex, mode === "past");
  const sequence = 3;
  const past = 4;
  const dims = {
    batch_size: 2,
    sequence_length: sequence,
    [pastLength]: past,
    ...(mode === "merged" && { [maskLength.merged]: useCache ? past + sequence : sequence }),
  };
  return ex.finish(attention, dims);
}

/** Position ids `[1, length]` of tokens behind a past: Range from the past's length, which comes from its shape. */
export function positionsAfter(ex: Exporter, ids: Value, past: LayerCache | undefined): Value {
  const length = ex.scalar(ex.sizeOf(ids, 1));
  const start = past ? ex.scalar(ex.sizeOf(past.key, 2)) : ex.i64(0);
  const range = ex.op("Range", [start, ex.op("Add", [length, start]), ex.i64(1)]);
  return ex.reshape(ex.unsqueeze(range, [0]), [-1, length]);
}
