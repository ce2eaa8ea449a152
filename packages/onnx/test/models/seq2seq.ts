import type { Dim, Value } from "@dgate/onnx";
import {
  type CacheShape,
  cacheInputs,
  cacheName,
  cacheOutputs,
  type LayerCache,
  mergeBranches,
  unchangedCache,
} from "./cache.ts";
import type { CacheOptions } from "./decoder.ts";
import type { Exporter } from "./exporter.ts";
import * as content from "./input-content.ts";
import type { AttentionExpectation, TransformerModel } from "./transformer-model.ts";

/** Options of a decoder that reads an encoder's states. */
export interface Seq2SeqOptions extends CacheOptions {
  /** What the with-past branch of a merged file gives for the encoder's caches (default: optimum's empty constants). */
  readonly encoderPresent?: "identity" | "constant";
}

/** The caches of one layer: its own tokens', and the encoder's. */
export interface LayerCaches {
  readonly own: LayerCache;
  readonly cross: LayerCache;
}

/** The inputs of a decoder as seen from the graph that is written. */
export interface Seq2SeqInputs {
  readonly ids: Value;
  /** The encoder's states; a file with a past only does not take them. */
  readonly states: Value | undefined;
  readonly encoderMask: Value | undefined;
  readonly pasts: readonly (LayerCaches | undefined)[];
}

/** What a decoder writes, in the main graph or in one branch. */
export interface Seq2SeqBody {
  readonly logits: Value;
  readonly presents: readonly LayerCaches[];
  readonly attention: readonly AttentionExpectation[];
}

/** Sizes of a decoder. */
export interface Seq2SeqSizes {
  readonly layers: number;
  readonly shape: CacheShape;
  readonly width: number;
  readonly vocabulary: number;
  /** The length of the encoder's states, where it is fixed (Whisper). */
  readonly encoderLength?: number;
  /** Whether the decoder takes the encoder's padding mask (T5 does, Whisper does not). */
  readonly masked: boolean;
}

const own = "decoder.";
const cross = "encoder.";
const pastLength = "past_decoder_sequence_length";
const totalLength = `${pastLength} + decoder_sequence_length`;

/** A decoder with cross-attention: `input_ids`, encoder states and mask, caches of both attentions, `logits` and caches. */
export function seq2SeqModel(
  ex: Exporter,
  { cache: mode = "none", useCache = true, encoderPresent = "constant" }: Seq2SeqOptions,
  sizes: Seq2SeqSizes,
  body: (ex: Exporter, inputs: Seq2SeqInputs) => Seq2SeqBody,
): TransformerModel {
  const { layers, shape, vocabulary, encoderLength = "encoder_sequence_length", masked } = sizes;
  const inputs = declareInputs(ex, mode, { ...sizes, encoderLength });
  const logitsShape: Dim[] = ["batch_size", "decoder_sequence_length", vocabulary];
  let attention: readonly AttentionExpectation[] = [];
  const write = (writer: Exporter, withPast: boolean): void => {
    const seen = (value: Value): Value => writer.outer(value);
    const pasts = inputs.pasts.map((past) => withPast && past && mapCaches(past, seen));
    const given = {
      ids: seen(inputs.ids),
      states: withPast || !inputs.states ? undefined : seen(inputs.states),
      encoderMask: masked && inputs.encoderMask ? seen(inputs.encoderMask) : undefined,
      pasts: pasts.map((past) => past || undefined),
    };
    const written = body(writer, given);
    if (!withPast || mode === "past") attention = written.attention;
    writer.output("logits", written.logits, logitsShape);
    if (mode === "none") return;
    const presents = written.presents.map((present, i) => {
      const past = given.pasts[i];
      return past && mode === "merged"
        ? { own: present.own, cross: unchangedCache(writer, past.cross, shape, encoderPresent) }
        : present;
    });
    writePresents(writer, presents, shape, { withPast, merged: mode === "merged", encoderLength });
  };
  if (mode === "merged") {
    mergeBranches(ex, useCache, { write, outputs: outputsOf(layers, shape, logitsShape, encoderLength) });
  } else write(ex, mode === "past");
  const dims = { batch_size: 2, decoder_sequence_length: 3, [pastLength]: 4, encoder_sequence_length: 5 };
  return ex.finish(attention, dims);
}

function mapCaches({ own: self, cross: other }: LayerCaches, map: (value: Value) => Value): LayerCaches {
  return {
    own: { key: map(self.key), value: map(self.value) },
    cross: { key: map(other.key), value: map(other.value) },
  };
}

function declareInputs(
  ex: Exporter,
  mode: NonNullable<CacheOptions["cache"]>,
  {
    layers,
    shape,
    width,
    vocabulary,
    encoderLength,
    masked,
  }: Omit<Seq2SeqSizes, "encoderLength"> & { readonly encoderLength: Dim },
) {
  const withPast = mode === "past" || mode === "merged";
  const encoderMask = masked
    ? ex.input("encoder_attention_mask", ["batch_size", encoderLength], content.mask)
    : undefined;
  const ids = ex.input("input_ids", ["batch_size", "decoder_sequence_length"], content.tokens(vocabulary));
  const states =
    mode === "past"
      ? undefined
      : ex.input("encoder_hidden_states", ["batch_size", encoderLength, width], content.normal);
  const caches = (side: string, length: Dim) =>
    withPast ? cacheInputs(ex, layers, shape, { side, length }) : [];
  const [selves, others] = [caches(own, pastLength), caches(cross, encoderLength)];
  const pasts = Array.from({ length: layers }, (_, i) => {
    const [self, other] = [selves[i], others[i]];
    return self && other && { own: self, cross: other };
  });
  return { ids, states, encoderMask, pasts };
}

function writePresents(
  ex: Exporter,
  presents: readonly LayerCaches[],
  shape: CacheShape,
  { withPast, merged, encoderLength }: { withPast: boolean; merged: boolean; encoderLength: Dim },
): void {
  const length = withPast ? totalLength : "decoder_sequence_length";
  const selves = presents.map((present) => present.own);
  cacheOutputs(ex, selves, shape, { side: own, length });
  if (withPast && !merged) return;
  const others = presents.map((present) => present.cross);
  cacheOutputs(ex, others, shape, { side: cross, length: encoderLength });
}

function outputsOf(
  layers: number,
  { heads, headDim }: CacheShape,
  logits: readonly Dim[],
  encoderLength: Dim,
) {
  const side = (name: string, length: Dim) =>
    Array.from({ length: layers }, (_, i) =>
      ["key", "value"].map(
        (part) => [`present.${cacheName(i, part, name)}`, ["batch_size", heads, length, headDim]] as const,
      ),
    ).flat();
  return [["logits", logits] as const, ...side(own, totalLength), ...side(cross, encoderLength)];
}
