/** Configs of small decoders with 4 heads of 8 and 2 layers, by `model_type`, with the keys that a config of that type has. */
export const familyConfigs: Readonly<Record<string, Readonly<Record<string, unknown>>>> = Object.fromEntries([
  ...each("gpt2 gptj codegen gpt_bigcode jais", { n_head: 4, n_layer: 2, n_embd: 32 }),
  ...each("gpt_neo", { num_heads: 4, num_layers: 2, hidden_size: 32 }),
  ...each("gpt_neox opt falcon stablelm modernbert-decoder", {
    num_attention_heads: 4,
    num_hidden_layers: 2,
    hidden_size: 32,
  }),
  ...each("bloom", { n_head: 4, n_layer: 2, hidden_size: 32 }),
  ...each("mpt", { n_heads: 4, n_layers: 2, d_model: 32 }),
  // Grouped queries: two to a key–value head.
  ...each("llama qwen2 mistral starcoder2 arcee smollm3 olmo olmo2 granite cohere phi3 mobilellm nanochat", {
    num_attention_heads: 8,
    num_key_value_heads: 4,
    num_hidden_layers: 2,
    hidden_size: 64,
  }),
  ...each("phi", { num_attention_heads: 4, num_hidden_layers: 2, hidden_size: 32, num_key_value_heads: 4 }),
  // The heads are wider together than the model.
  ...each("qwen3 gemma gemma2 gemma3_text glm helium ernie4_5 ministral vaultgemma", {
    num_attention_heads: 8,
    num_key_value_heads: 4,
    num_hidden_layers: 2,
    hidden_size: 48,
    head_dim: 8,
  }),
  ...each("exaone", {
    num_attention_heads: 8,
    num_key_value_heads: 4,
    num_layers: 2,
    hidden_size: 64,
    head_dim: 8,
  }),
  ...each("t5 mt5 longt5", {
    num_heads: 4,
    d_kv: 8,
    d_model: 20,
    num_layers: 3,
    num_decoder_layers: 2,
    is_encoder_decoder: true,
  }),
  ...each("bart mbart marian whisper m2m_100 blenderbot blenderbot-small lite-whisper", {
    d_model: 32,
    decoder_layers: 2,
    decoder_attention_heads: 4,
    encoder_layers: 3,
    encoder_attention_heads: 4,
    is_encoder_decoder: true,
  }),
  ...each("speecht5", {
    hidden_size: 32,
    decoder_layers: 2,
    decoder_attention_heads: 4,
    encoder_layers: 3,
    encoder_attention_heads: 4,
    is_encoder_decoder: true,
  }),
  ...each("moonshine", {
    hidden_size: 32,
    decoder_num_hidden_layers: 2,
    decoder_num_key_value_heads: 4,
    encoder_num_hidden_layers: 3,
    encoder_num_key_value_heads: 4,
    is_encoder_decoder: true,
  }),
]);

function each(types: string, config: Readonly<Record<string, unknown>>) {
  return types.split(" ").map((type) => [type, { model_type: type, eos_token_id: 2, ...config }] as const);
}

/** Shapes of empty caches with 2 heads of 8 in the layout of a type: keys, then values. */
export function expectedCaches(type: string, encoder: boolean): Record<string, readonly number[]> {
  const sides = encoder ? ["encoder.", "decoder."] : [""];
  const shapes = layouts[type] ?? { key: [1, 2, 0, 8], value: [1, 2, 0, 8] };
  const entries = [0, 1].flatMap((layer) =>
    sides.flatMap((side) =>
      (["key", "value"] as const).map(
        (part) => [`past_key_values.${layer}.${side}${part}`, shapes[part]] as const,
      ),
    ),
  );
  return Object.fromEntries(entries);
}

/** Batch and heads in one axis. */
const layouts: Readonly<
  Record<string, { readonly key: readonly number[]; readonly value: readonly number[] }>
> = {
  falcon: { key: [2, 0, 8], value: [2, 0, 8] },
  bloom: { key: [2, 8, 0], value: [2, 0, 8] },
};
