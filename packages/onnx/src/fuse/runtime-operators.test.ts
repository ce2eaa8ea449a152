import { expect, test } from "vitest";
import { runtimeOperators, targetWithout } from "./runtime-operators.ts";

test("a target lacks what came with a later version, versions compared by number", () => {
  const target = { provider: "cpu", version: "1.9.0" } as const;
  expect(targetWithout([target], "SkipLayerNormalization")).toBe(target);
  expect(targetWithout([{ provider: "cpu", version: "1.14.0" }], "SkipLayerNormalization")).toBeUndefined();
  expect(targetWithout([{ provider: "wasm", version: "2.0" }], "MultiHeadAttention")).toBeUndefined();
});

test("of several targets one is enough to keep an operator out", () => {
  const old = { provider: "wasm", version: "1.14.0" } as const;
  expect(targetWithout([{ provider: "webgpu", version: "1.30.0" }, old], "MultiHeadAttention")).toBe(old);
});

test("every operator has a first version everywhere", () => {
  for (const since of Object.values(runtimeOperators)) {
    for (const version of Object.values(since)) expect(version).toMatch(/^1\.\d+$/);
  }
});
