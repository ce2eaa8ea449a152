import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeModel } from "@dgate/onnx";
import { t5Decoder, t5Encoder } from "../../../onnx/test/models/t5.ts";
import { temporaryFolder } from "./stories.ts";

const words = ["<pad>", "</s>", "<unk>", ..."a b c d e f g h i j k l m n o p".split(" ")];
const sizes = { layers: 2, width: 16, heads: 4, headDim: 6, hidden: 24, vocabulary: words.length };

/** A T5 with random weights in a folder of the test, with an encoder and a merged decoder as optimum writes them. */
export function smallT5(): string {
  const folder = temporaryFolder();
  const json = (name: string, content: unknown): void =>
    writeFileSync(join(folder, name), JSON.stringify(content));
  json("config.json", {
    architectures: ["T5ForConditionalGeneration"],
    model_type: "t5",
    is_encoder_decoder: true,
    d_model: sizes.width,
    d_kv: sizes.headDim,
    num_heads: sizes.heads,
    num_layers: sizes.layers,
    num_decoder_layers: sizes.layers,
    vocab_size: sizes.vocabulary,
    decoder_start_token_id: 0,
    pad_token_id: 0,
    eos_token_id: 1,
  });
  json("generation_config.json", { decoder_start_token_id: 0, pad_token_id: 0, eos_token_id: 1 });
  json("tokenizer_config.json", {
    tokenizer_class: "T5Tokenizer",
    pad_token: "<pad>",
    eos_token: "</s>",
    unk_token: "<unk>",
  });
  json("tokenizer.json", tokenizer);
  writeFileSync(join(folder, "onnx/encoder_model.onnx"), writeModel(t5Encoder({ ...sizes, seed: 5 }).graph));
  const decoder = t5Decoder({ ...sizes, seed: 6, cache: "merged", useCache: false });
  writeFileSync(join(folder, "onnx/decoder_model_merged.onnx"), writeModel(decoder.graph));
  return folder;
}

/** One token a letter, between spaces. */
const tokenizer = {
  version: "1.0",
  added_tokens: words.slice(0, 3).map((content, id) => {
    return {
      id,
      content,
      special: true,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
    };
  }),
  normalizer: null,
  pre_tokenizer: { type: "Whitespace" },
  post_processor: null,
  decoder: { type: "WordPiece", prefix: "##", cleanup: false },
  model: {
    type: "WordPiece",
    unk_token: "<unk>",
    continuing_subword_prefix: "##",
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(words.map((word, id) => [word, id])),
  },
};
