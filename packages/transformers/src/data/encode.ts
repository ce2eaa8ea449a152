import { DgateError } from "@dgate/core";
import type { Encoding, LibraryPipeline } from "../library/library.ts";
import type { OpenedModel } from "../source/open-model.ts";
import { giveWay } from "../stop-if-aborted.ts";
import type { Example } from "./example.ts";

/** Inputs of one example, without padding: numbers by input name. */
export interface EncodedExample {
  /** Position in the caller's list. */
  readonly index: number;
  /** Token inputs `[tokens]`, by name; empty of an image. */
  readonly tokens: Readonly<Record<string, readonly number[]>>;
  /** Image inputs, of shape `shape`. */
  readonly features: Readonly<
    Record<string, { readonly data: Float32Array; readonly shape: readonly number[] }>
  >;
  /** Class, where the example has one. */
  readonly label: number | undefined;
}

/** Examples in the model's own terms. */
export interface EncodedData {
  readonly examples: readonly EncodedExample[];
  /** Examples that were cut to `maxLength` tokens. */
  readonly truncated: number;
  /** Examples without any text, which were left out. */
  readonly empty: number;
  /** Most tokens of an example. */
  readonly maxLength: number;
}

/** Options of `encodeExamples`. */
export interface EncodeOptions {
  /** Longest example in tokens; by default what tokenizer and model allow. */
  readonly maxLength?: number;
  /** Number of classes, for labels. */
  readonly classes?: number;
  /** Positions of the examples in the caller's list, where they are some of it. */
  readonly positions?: readonly number[];
  /** What an example is called in messages (default `example`). */
  readonly noun?: string;
  /** Who cancels (default `learn`). */
  readonly where?: string;
  readonly signal?: AbortSignal;
}

/**
 * Puts examples through the model's own tokenizer or processor.
 *
 * @throws DgateError `DATA` for data that is no list, for examples of which none has a text, for a label that the model does not have, and for a token that it
 * does not know (see `checkVocabulary`), each with its position; `OPTION` for a `maxLength` that the model does not take, `ABORTED`
 */
export async function encodeExamples(
  model: OpenedModel,
  examples: readonly Example[],
  options: EncodeOptions = {},
): Promise<EncodedData> {
  const { noun = "example", where = "learn", signal } = options;
  if (!Array.isArray(examples)) {
    throw new DgateError(
      "DATA",
      `${where}: data is no list; give an array of texts, pairs of texts, or { text, label }.`,
    );
  }
  const maxLength = lengthOf(model, options.maxLength, where);
  const found: EncodedExample[] = [];
  let [truncated, empty] = [0, 0];
  for (const [at, example] of examples.entries()) {
    if (at % 32 === 0) await giveWay(signal, where);
    const index = options.positions?.[at] ?? at;
    const place = `${where}: ${noun} ${index}`;
    const parts = partsOf(example, place);
    const label = labelOf(model.config, parts.label, place, options.classes);
    if ("image" in parts) {
      found.push({
        index,
        tokens: {},
        features: await imageFeatures(model, parts.image, place),
        label,
      });
      continue;
    }
    if (parts.text.every((text) => text.trim() === "")) {
      empty += 1;
      continue;
    }
    const { tokens, cut } = await tokensOf(model.pipeline, parts.text, maxLength, place);
    truncated += cut ? 1 : 0;
    found.push({ index, tokens, features: {}, label });
  }
  if (found.length === 0) {
    throw new DgateError(
      "DATA",
      `${where}: none of ${examples.length} ${noun}s has a text; give texts, pairs of texts, or { text, label }.`,
    );
  }
  return { examples: found, truncated, empty, maxLength };
}

/** What the tokenizer and the position table of the model both allow, 512 at most if nothing else is asked for. */
function lengthOf({ pipeline, config }: OpenedModel, wanted: number | undefined, where: string): number {
  const limits = [
    pipeline.tokenizer?.model_max_length,
    config["max_position_embeddings"],
    config["n_positions"],
  ].filter((limit): limit is number => typeof limit === "number" && limit > 0 && limit < 1e6);
  const most = Math.min(...limits);
  if (wanted === undefined) return Math.min(512, most);
  if (wanted <= most) return wanted;
  throw new DgateError(
    "OPTION",
    `${where}: maxLength is ${wanted}, but tokenizer and model take ${most} tokens at most.`,
  );
}

type Parts =
  | { readonly text: readonly string[]; readonly label: number | string | undefined }
  | { readonly image: unknown; readonly label: number | string | undefined };

function partsOf(example: Example, place: string): Parts {
  if (typeof example === "string") return { text: [example], label: undefined };
  if (isPair(example)) return { text: example, label: undefined };
  if (typeof example === "object" && example !== null) {
    if ("image" in example) return { image: example.image, label: example.label };
    const { text, label } = example;
    if (typeof text === "string") return { text: [text], label };
    if (isPair(text)) return { text, label };
  }
  throw new DgateError(
    "DATA",
    `${place} is neither a text, a pair of texts, { text, label } nor { image, label }.`,
  );
}

const isPair = (value: unknown): value is readonly [string, string] =>
  Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === "string");

function labelOf(
  config: Readonly<Record<string, unknown>>,
  label: number | string | undefined,
  place: string,
  classes: number | undefined,
): number | undefined {
  if (label === undefined) return undefined;
  const names = (config["label2id"] ?? {}) as Readonly<Record<string, number>>; // a table of transformers' configs
  const count = classes ?? Math.max(Object.keys(names).length, Object.keys(config["id2label"] ?? {}).length);
  // Files of text hold numbers as text.
  const found = typeof label === "number" ? label : (names[label] ?? wholeNumber(label));
  if (found !== undefined && Number.isInteger(found) && found >= 0 && (count === 0 || found < count))
    return found;
  throw new DgateError(
    "DATA",
    `${place} has the label ${JSON.stringify(label)}, but the model has ${count} classes` +
      `${
        Object.keys(names).length > 0
          ? `: ${Object.entries(names)
              .map(([name, id]) => `${name} (${id})`)
              .slice(0, 8)
              .join(", ")}`
          : ` (0 to ${count - 1})`
      }.`,
  );
}

const wholeNumber = (text: string): number | undefined => (/^\d+$/.test(text) ? Number(text) : undefined);

async function tokensOf(
  pipeline: LibraryPipeline,
  [text, pair]: readonly string[],
  maxLength: number,
  place: string,
): Promise<{ readonly tokens: Readonly<Record<string, readonly number[]>>; readonly cut: boolean }> {
  const { tokenizer } = pipeline;
  if (!tokenizer) {
    throw new DgateError(
      "OPTION",
      `${place} is a text, but the pipeline "${pipeline.task}" has no tokenizer: its tokenizer.json is not there, or its model takes images, given as { image }.`,
    );
  }
  const common = { padding: false, ...(pair !== undefined && { text_pair: [pair] }) };
  const whole = await tokenizer([text!], { ...common, truncation: false });
  const length = rowOf(whole, "input_ids").length;
  const cut = length > maxLength;
  const encoding = cut
    ? await tokenizer([text!], { ...common, truncation: true, max_length: maxLength })
    : whole;
  const tokens = Object.fromEntries(Object.keys(encoding).map((name) => [name, rowOf(encoding, name)]));
  return { tokens, cut };
}

const rowOf = (encoding: Encoding, name: string): number[] =>
  Array.from((encoding[name]?.data ?? []) as ArrayLike<number | bigint>, Number); // token ids are int64

async function imageFeatures(
  { pipeline: { processor, task }, readImage }: OpenedModel,
  image: unknown,
  place: string,
): Promise<EncodedExample["features"]> {
  if (!processor) {
    throw new DgateError(
      "OPTION",
      `${place} is an image, but the pipeline "${task}" has no processor; give texts.`,
    );
  }
  const named = typeof image === "string" || image instanceof URL;
  const encoding = await (async () => processor(named && readImage ? await readImage(image) : image))().catch(
    (cause: unknown) => {
      throw new DgateError(
        "DATA",
        `${place}: the image${named ? ` ${String(image)}` : ""} cannot be read (${String(cause)}).`,
        { cause },
      );
    },
  );
  return Object.fromEntries(
    Object.entries(encoding).flatMap(([name, tensor]) =>
      tensor.data instanceof Float32Array ? [[name, { data: tensor.data, shape: tensor.dims.slice(1) }]] : [],
    ),
  );
}
