import { DgateError } from "@dgate/core";
import type { Batch, Graph, Value } from "@dgate/onnx";
import type { EncodedExample } from "./encode.ts";

/** A batch for a graph, with the examples that are in its rows. */
export interface EncodedBatch {
  readonly feeds: Batch;
  readonly examples: readonly EncodedExample[];
  /** Tokens of the longest example. */
  readonly length: number;
}

/**
 * Feeds of a graph for some examples: tokens padded on the right to the longest, positions counted over what is no padding, caches empty.
 *
 * @throws DgateError `UNSUPPORTED` naming an input of the model that is neither tokens, features, positions nor a cache
 */
export function feedsFor(graph: Graph, examples: readonly EncodedExample[], padId = 0): EncodedBatch {
  const length = Math.max(
    1,
    ...examples.flatMap(({ tokens }) => Object.values(tokens).map((row) => row.length)),
  );
  const feeds = Object.fromEntries(
    graph.requiredInputs.map((input) => [input.name, feedOf(input, examples, length, padId)]),
  );
  return { feeds, examples, length };
}

type Feed = Batch[string];

function feedOf(input: Value, examples: readonly EncodedExample[], length: number, padId: number): Feed {
  const { name } = input;
  const features = examples.map((example) => example.features[name]);
  if (features.every((feature) => feature !== undefined)) return stacked(input, features, examples);
  if (name === "use_cache_branch") return { dtype: "bool", shape: [1], data: [0] };
  if (/^past_key_values\.|^past(_|\.)/.test(name)) return emptyCache(input, examples.length);
  if (name === "position_ids") return integers(input, examples, length, 1, (example) => positions(example));
  const known = examples.every(({ tokens }) => tokens[name] !== undefined);
  if (known)
    return integers(input, examples, length, name === "input_ids" ? padId : 0, ({ tokens }) => tokens[name]!);
  // Tokenizers leave out what a model takes all the same.
  if (name === "attention_mask")
    return integers(input, examples, length, 0, ({ tokens }) => tokens["input_ids"]!.map(() => 1));
  if (name === "token_type_ids")
    return integers(input, examples, length, 0, ({ tokens }) => tokens["input_ids"]!.map(() => 0));
  throw new DgateError(
    "UNSUPPORTED",
    `learn: the model takes the input "${name}", and neither its tokenizer nor its processor gives it.`,
  );
}

const positions = ({ tokens }: EncodedExample): number[] => tokens["input_ids"]!.map((_, at) => at);

function integers(
  { type }: Value,
  examples: readonly EncodedExample[],
  length: number,
  padding: number,
  rowOf: (example: EncodedExample) => readonly number[],
): Feed {
  const data = Array.from({ length: examples.length * length }, () => padding);
  examples.forEach((example, row) => {
    rowOf(example).forEach((value, at) => {
      data[row * length + at] = value;
    });
  });
  const shape = [examples.length, length];
  return type?.dtype === "int32"
    ? { dtype: "int32", shape, data: Int32Array.from(data) }
    : { dtype: "int64", shape, data: BigInt64Array.from(data, BigInt) };
}

function stacked(
  { name, type }: Value,
  features: readonly EncodedExample["features"][string][],
  examples: readonly EncodedExample[],
): Feed {
  const { shape, data } = features[0]!;
  const other = features.findIndex((feature) => feature.shape.join() !== shape.join());
  if (other > 0) {
    throw new DgateError(
      "SHAPE",
      `learn: "${name}" of example ${examples[other]!.index} is [${features[other]!.shape.join(", ")}], that of example ${examples[0]!.index} [${shape.join(", ")}]; ` +
        "images of one batch must have one size: give { batchSize: 1 }.",
    );
  }
  const all = new Float32Array(features.length * data.length);
  features.forEach((feature, row) => all.set(feature.data, row * data.length));
  return floats(type?.dtype, [features.length, ...shape], all);
}

/** Half precision is left to the runner: the same feeds then fit the model and its training form, which is float32. */
const floats = (dtype: string | undefined, shape: readonly number[], data: Float32Array): Feed =>
  dtype === "float16" ? { shape, data: Array.from(data) } : { dtype: "float32", shape, data };

/** A cache without any position. Of its open axes the one named after the batch is that, else the first unless it is named after positions; the others are positions. */
function emptyCache({ name: cache, type }: Value, batch: number): Feed {
  const shape = (type?.shape ?? []).map((dim, axis) => {
    if (typeof dim === "number") return dim;
    const name = String(dim);
    return /batch/.test(name) || (axis === 0 && !/seq|past/.test(name)) ? batch : 0;
  });
  if (shape.length === 0) {
    throw new DgateError(
      "UNSUPPORTED",
      `learn: the shape of the cache "${cache}" is not known; declare it in the model.`,
    );
  }
  return floats(type?.dtype, shape, new Float32Array(0));
}

/**
 * Examples in batches of like lengths, so that little is padded: sorted by length in chunks of several batches.
 *
 * @param random numbers from 0 to 1 that shuffle; in order if left out
 */
export function inBatches(
  examples: readonly EncodedExample[],
  size: number,
  random?: () => number,
): EncodedExample[][] {
  const order = random ? shuffled(examples, random) : examples;
  const batches: EncodedExample[][] = [];
  for (let from = 0; from < order.length; from += size * chunk) {
    const part = order.slice(from, from + size * chunk).sort((a, b) => lengthOf(a) - lengthOf(b));
    for (let at = 0; at < part.length; at += size) batches.push(part.slice(at, at + size));
  }
  return random ? shuffled(batches, random) : batches;
}

/** Tokens of an example; 0 of an image. */
export const lengthOf = ({ tokens }: EncodedExample): number => tokens["input_ids"]?.length ?? 0;

/** Batches that are sorted by length together. */
const chunk = 16;

/** Fisher–Yates. */
export function shuffled<T>(items: readonly T[], random: () => number): T[] {
  const order = [...items];
  for (let i = order.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/**
 * Tokens that a model has rows for.
 *
 * @throws DgateError `CHECK` if the examples have a token past the table: a tokenizer of another model
 */
export function checkVocabulary(graph: Graph, examples: readonly EncodedExample[], noun = "example"): void {
  const ids = graph.value("input_ids");
  const rows = ids && tableRows(graph, ids);
  if (rows === undefined) return;
  for (const { index, tokens } of examples) {
    const bad = tokens["input_ids"]?.find((id) => id < 0 || id >= rows);
    if (bad === undefined) continue;
    throw new DgateError(
      "CHECK",
      `learn: the tokenizer gives token ${bad} for ${noun} ${index}, but the model has ${rows} (0 to ${rows - 1}); it is the tokenizer of another model.`,
    );
  }
}

/** Rows of the table that token ids pick from, perhaps behind a change of type or shape. */
function tableRows(graph: Graph, ids: Value): number | undefined {
  for (const { node, index } of graph.uses(ids)) {
    if (!node) continue;
    if (node.op === "Gather" && index === 1) {
      const table = node.inputs[0]?.data;
      if (table?.shape.length === 2) return table.shape[0];
    } else if (moves.has(node.op) && index === 0) {
      const found = tableRows(graph, node.outputs[0]!);
      if (found !== undefined) return found;
    }
  }
  return undefined;
}

/** What keeps token ids token ids. */
const moves: ReadonlySet<string> = new Set([
  "Cast",
  "Identity",
  "Reshape",
  "Squeeze",
  "Unsqueeze",
  "Flatten",
]);
