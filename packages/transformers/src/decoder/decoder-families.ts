/** A version of transformers.js. */
export type LibraryMajor = 2 | 3 | 4;

/**
 * Where the config of a decoder says how large its caches are, as transformers.js 2.17 (constructors in `models.js`) and 3.8 (`getNormalizedConfig`)
 * read it to make empty ones. None of these keys decides anything else there.
 */
export interface DecoderFamily {
  /** Keys that hold the number of key–value heads. */
  readonly heads: readonly string[];
  /** Key of a width that is divided by the number of heads to give the head dim. */
  readonly width?: string;
  /** Key that holds the head dim. */
  readonly dim?: string;
  /** Width and heads whose ratio is the head dim for version 2, and for later ones where there is no `dim`; both stay. */
  readonly ratio?: readonly [width: string, heads: string];
  /** Versions that know models of this type. */
  readonly versions: readonly LibraryMajor[];
}

const all = [2, 3, 4] as const;
const later = [3, 4] as const;
const newest = [4] as const;

const ratio = ["hidden_size", "num_attention_heads"] as const;
const grouped = { heads: ["num_key_value_heads"], dim: "head_dim", ratio };
const gpt2: DecoderFamily = { heads: ["n_head"], width: "n_embd", versions: all };
const neox: DecoderFamily = { heads: ["num_attention_heads"], width: "hidden_size", versions: all };
const llama: DecoderFamily = { ...grouped, versions: all };
const olmo: DecoderFamily = { ...grouped, versions: later };
const recent: DecoderFamily = { ...grouped, versions: newest };
const t5: DecoderFamily = { heads: ["num_heads"], dim: "d_kv", versions: all };
const bart: DecoderFamily = {
  heads: ["decoder_attention_heads", "encoder_attention_heads"],
  width: "d_model",
  versions: all,
};

/** Families by `model_type`. */
export const decoderFamilies: Readonly<Record<string, DecoderFamily>> = {
  gpt2,
  gptj: gpt2,
  codegen: gpt2,
  gpt_bigcode: gpt2,
  jais: { ...gpt2, versions: later },
  gpt_neo: { heads: ["num_heads"], width: "hidden_size", versions: all },
  gpt_neox: neox,
  opt: neox,
  falcon: neox,
  stablelm: neox,
  "modernbert-decoder": { ...neox, versions: later },
  bloom: { heads: ["n_head"], width: "hidden_size", versions: all },
  mpt: { heads: ["n_heads"], width: "d_model", versions: all },
  // Version 2 takes all three from its query heads and the width, version 3 two of them from keys of their own.
  phi: {
    heads: ["num_attention_heads", "num_key_value_heads"],
    width: "hidden_size",
    dim: "head_dim",
    versions: all,
  },
  llama,
  qwen2: llama,
  mistral: llama,
  starcoder2: llama,
  ...each(
    "llama4_text nanochat arcee smollm3 olmo olmo2 mobilellm granite cohere qwen2_vl phi3 phi3_v llava_qwen2 lfm2 " +
      "qwen3 gemma gemma2 vaultgemma gemma3_text gemma3n_text glm helium ernie4_5 ministral ministral3 exaone",
    olmo,
  ),
  ...each(
    "gpt_oss apertus afmoe olmo3 cohere2 qwen2_moe qwen2_vl_text qwen2_5_vl_text qwen3_moe qwen3_vl_text qwen3_vl_moe_text " +
      "solar_open glm_ocr_text gemma4_text hunyuan_v1_dense qwen3_next qwen3_5_text qwen3_5_moe_text hrm_text",
    recent,
  ),
  t5,
  mt5: t5,
  longt5: t5,
  bart,
  mbart: bart,
  marian: bart,
  whisper: bart,
  m2m_100: bart,
  blenderbot: bart,
  "blenderbot-small": bart,
  "lite-whisper": { ...bart, versions: later },
  florence2_language: { ...bart, versions: later },
  speecht5: { ...bart, width: "hidden_size" },
  trocr: { heads: ["decoder_attention_heads"], width: "d_model", versions: all },
  musicgen_decoder: { heads: ["num_attention_heads"], width: "hidden_size", versions: later },
  moonshine: {
    heads: ["decoder_num_key_value_heads", "encoder_num_key_value_heads"],
    width: "hidden_size",
    versions: later,
  },
};

function each(types: string, family: DecoderFamily): Record<string, DecoderFamily> {
  return Object.fromEntries(types.split(" ").map((type) => [type, family]));
}

/** Where models that hold a decoder among other parts keep its config, by `model_type`. */
export const innerConfigs: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    (
      "llava paligemma gemma3 florence2 llava_onevision idefics3 ultravox voxtral smolvlm gemma3n mistral3 granite_speech " +
      "gemma4 lfm2_vl lighton_ocr glm_ocr qwen2_5_vl qwen3_vl qwen3_vl_moe"
    )
      .split(" ")
      .map((type) => [type, "text_config"]),
  ),
  moondream1: "phi_config",
  musicgen: "decoder",
  multi_modality: "language_config",
  "vision-encoder-decoder": "decoder",
};
