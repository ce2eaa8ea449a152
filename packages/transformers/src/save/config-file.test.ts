import { expect, test } from "vitest";
import { configOf } from "./config-file.ts";

const config = { model_type: "bert", num_attention_heads: 8 };

test("a config that says all is the same object", () => {
  expect(configOf(config, { dtypes: ["fp32", "q8", "q4"], external: [] })).toBe(config);
});

test("where a type that is loaded by default is not written, the config names one that is", () => {
  expect(configOf(config, { dtypes: ["q4"], external: [] })).toEqual({
    ...config,
    "transformers.js_config": { dtype: "q4" },
  });
});

test("a config asks for no file that is not written", () => {
  const asks = {
    ...config,
    "transformers.js_config": {
      dtype: { model: "q4f16" },
      device_config: {
        webgpu: { dtype: "fp16", free_dimension_overrides: { batch: 1 } },
        wasm: { dtype: "q8" },
      },
      use_external_data_format: true,
      kv_cache_dtype: { fp16: "float16" },
    },
  };
  expect(configOf(asks, { dtypes: ["fp32", "q8"], external: [] })["transformers.js_config"]).toEqual({
    device_config: { webgpu: { free_dimension_overrides: { batch: 1 } }, wasm: { dtype: "q8" } },
    kv_cache_dtype: { fp16: "float16" },
  });
});

test("a config names the files that have their weights beside them", () => {
  expect(
    configOf(config, { dtypes: ["fp32", "q8"], external: ["model.onnx"] })["transformers.js_config"],
  ).toEqual({
    use_external_data_format: { "model.onnx": 1 },
  });
});
