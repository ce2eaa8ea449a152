import { describe, expect, test } from "vitest";
import { prunedConfig } from "./decoder-config.ts";

const two = { decoder: [2, 2], encoder: [], headDim: 8 };
const llama = { model_type: "llama", hidden_size: 64, num_attention_heads: 8, num_key_value_heads: 4 };

describe("the config of a pruned decoder", () => {
  test("of grouped queries keeps the query heads, from which version 2 computes the head dim", () => {
    const { config, versions, notes } = prunedConfig(llama, two);
    expect(config).toEqual({ ...llama, num_key_value_heads: 2, head_dim: 8 });
    expect(versions).toEqual([2, 3, 4]);
    expect(notes).toEqual([expect.stringContaining('"num_attention_heads" stays')]);
    expect(llama.num_key_value_heads).toBe(4);
  });

  test("leaves version 2 out where it would compute another head dim", () => {
    const { versions, notes } = prunedConfig({ ...llama, hidden_size: 80, head_dim: 8 }, two);
    expect(versions).toEqual([3, 4]);
    expect(notes).toEqual([
      expect.stringContaining("hidden_size / num_attention_heads is not the head dim 8"),
    ]);
  });

  test("of one number for heads and width gives both, and says that the width is no longer the model's", () => {
    const gpt2 = { model_type: "gpt2", n_head: 4, n_embd: 32, n_layer: 2 };
    const { config, versions, notes } = prunedConfig(gpt2, two);
    expect(config).toEqual({ ...gpt2, n_head: 2, n_embd: 16 });
    expect(versions).toEqual([2, 3, 4]);
    expect(notes).toEqual([expect.stringContaining('"n_embd" is the heads\' 2 × 8')]);
  });

  test("with unequally many heads is for version 4 alone, and stays as it is", () => {
    const { config, versions, notes } = prunedConfig(llama, { ...two, decoder: [2, 1] });
    expect(config).toBe(llama);
    expect(versions).toEqual([4]);
    expect(notes).toEqual([expect.stringContaining("2, 1 key–value heads")]);
  });

  test("with other heads for the encoder's states than for its own tokens is for version 4 alone", () => {
    const t5 = { model_type: "t5", num_heads: 4, d_kv: 8, is_encoder_decoder: true };
    const { versions, notes } = prunedConfig(t5, { ...two, encoder: [1, 1] });
    expect(versions).toEqual([4]);
    expect(notes).toEqual([expect.stringContaining("2, 2 (own) and 1, 1 (of the encoder)")]);
  });

  test("of OpenELM lists heads by layer, which version 3 reads", () => {
    const { config, versions } = prunedConfig(
      { model_type: "openelm", num_kv_heads: [3, 3] },
      { ...two, decoder: [2, 1] },
    );
    expect(config["num_kv_heads"]).toEqual([2, 1]);
    expect(versions).toEqual([3, 4]);
  });

  test("of an unknown type stays as it is, for version 4 alone", () => {
    const own = { model_type: "newest" };
    const { config, versions, notes } = prunedConfig(own, two);
    expect(config).toBe(own);
    expect(versions).toEqual([4]);
    expect(notes).toEqual([expect.stringContaining("newest")]);
  });

  test("within the config of a larger model is changed there", () => {
    const { config } = prunedConfig({ model_type: "llava", text_config: llama, image_token_index: 7 }, two);
    expect(config).toEqual({
      model_type: "llava",
      image_token_index: 7,
      text_config: { ...llama, num_key_value_heads: 2, head_dim: 8 },
    });
    expect(() => prunedConfig({ model_type: "llava" }, two)).toThrow(/a llava has no "text_config"/);
  });
});
