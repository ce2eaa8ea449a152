import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type Graph, writeModel } from "@dgate/onnx";
import { bert, type BertOptions } from "../../onnx/test/models/bert.ts";

/** What of a tiny BERT's folder is other than usual. */
export interface TinyBertOptions extends BertOptions {
  /** Keys of config.json that are added or replaced. */
  readonly config?: Readonly<Record<string, unknown>>;
  /** Files in place of `onnx/model.onnx`, by their path: made of the model's graph. */
  readonly files?: (graph: Graph) => Readonly<Record<string, string | Uint8Array>>;
}

/** Texts of words that the tiny tokenizer knows, and one that it does not. */
export const tinyTexts: readonly string[] = [
  "a good film",
  "the plot is bad",
  "not a bad film , but long",
  "it is the best",
  "unheard of",
];

/**
 * Writes a transformers.js folder of a BERT classifier with 2 layers of 4 heads and 24 neurons, three classes and 23 tokens. Any version of the library
 * opens it in a few milliseconds.
 */
export async function tinyBertFolder(folder: string, options: TinyBertOptions = {}): Promise<string> {
  const { config, files = (graph) => ({ "onnx/model.onnx": writeModel(graph) }), ...shape } = options;
  const { graph } = bert({ head: "classifier", ...shape });
  const json = {
    "config.json": { ...configOf(shape), ...config },
    "tokenizer.json": tokenizer,
    "tokenizer_config.json": tokenizerConfig,
  };
  await writeFiles(folder, {
    ...Object.fromEntries(Object.entries(json).map(([name, value]) => [name, JSON.stringify(value)])),
    ...files(graph),
  });
  return folder;
}

/** Writes files by their path in a folder, which is made. */
export async function writeFiles(
  folder: string,
  files: Readonly<Record<string, string | Uint8Array>>,
): Promise<void> {
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), content);
  }
}

function configOf({ layers = 2, heads = 4, headDim = 4, hidden = 24, positions = 16 }: BertOptions): object {
  return {
    architectures: ["BertForSequenceClassification"],
    model_type: "bert",
    hidden_size: heads * headDim,
    num_attention_heads: heads,
    num_hidden_layers: layers,
    intermediate_size: hidden,
    max_position_embeddings: positions,
    vocab_size: words.length,
    type_vocab_size: 2,
    pad_token_id: 0,
    id2label: { 0: "BAD", 1: "FAIR", 2: "GOOD" },
    label2id: { BAD: 0, FAIR: 1, GOOD: 2 },
  };
}

const special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

const words = special.concat(
  ["a", "the", "it", "is", "not", "but", "good", "bad", "best", "long", "short", "film", "plot"],
  ["of", "and", ",", ".", "##s"],
);

const marker = (id: string, type: number): object => ({ SpecialToken: { id, type_id: type } });

const tokenizer = {
  version: "1.0",
  truncation: null,
  padding: null,
  added_tokens: special.map((content, id) => {
    return {
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    };
  }),
  normalizer: {
    type: "BertNormalizer",
    clean_text: true,
    handle_chinese_chars: true,
    strip_accents: null,
    lowercase: true,
  },
  pre_tokenizer: { type: "BertPreTokenizer" },
  post_processor: {
    type: "TemplateProcessing",
    single: [marker("[CLS]", 0), { Sequence: { id: "A", type_id: 0 } }, marker("[SEP]", 0)],
    pair: [
      marker("[CLS]", 0),
      { Sequence: { id: "A", type_id: 0 } },
      marker("[SEP]", 0),
      { Sequence: { id: "B", type_id: 1 } },
      marker("[SEP]", 1),
    ],
    special_tokens: Object.fromEntries(
      ["[CLS]", "[SEP]"].map((id) => [id, { id, ids: [words.indexOf(id)], tokens: [id] }]),
    ),
  },
  decoder: { type: "WordPiece", prefix: "##", cleanup: true },
  model: {
    type: "WordPiece",
    unk_token: "[UNK]",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(words.map((word, id) => [word, id])),
  },
};

const tokenizerConfig = {
  tokenizer_class: "BertTokenizer",
  model_max_length: 16,
  do_lower_case: true,
  cls_token: "[CLS]",
  mask_token: "[MASK]",
  pad_token: "[PAD]",
  sep_token: "[SEP]",
  unk_token: "[UNK]",
};
