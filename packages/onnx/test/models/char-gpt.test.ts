import { findAttention, findSites, numbersOf, openRunner, readNumbers, writeModel } from "@dgate/onnx";
import { expect, test } from "vitest";
import { charGpt } from "./char-gpt.ts";
import { feedsOf } from "./transformer-model.ts";

test("heads of every layer are found and can be pruned", () => {
  const { graph } = charGpt();
  const layers = findAttention(graph);
  expect(layers.map(({ heads, kvHeads, headDim, prunable }) => [heads, kvHeads, headDim, prunable])).toEqual(
    Array.from({ length: 4 }, () => [4, 4, 32, true]),
  );
  const sites = findSites(graph).filter(({ kind }) => kind === "heads");
  expect(sites.map(({ groups, prunable }) => [groups, prunable])).toEqual(
    Array.from({ length: 4 }, () => [4, true]),
  );
  sites.forEach(({ tensor, coupled }, i) => {
    expect(tensor).toBe(`h.${i}.attn.v_proj.weight`);
    expect(coupled.find(({ role }) => role === "consumer")?.tensor).toBe(`h.${i}.attn.out_proj.weight`);
  });
});

test("weights start as those of GPT-2 do", () => {
  const { graph } = charGpt({ layers: 2 });
  const deviation = (name: string): number => {
    const numbers = Float64Array.from(readNumbers(graph.value(name)!.data!));
    return Math.sqrt(numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length);
  };
  expect(deviation("h.0.attn.q_proj.weight")).toBeCloseTo(0.02, 3);
  expect(deviation("h.1.attn.out_proj.weight")).toBeCloseTo(0.01, 3);
  expect(deviation("h.1.mlp.c_proj.weight")).toBeCloseTo(0.01, 3);
  expect(deviation("h.1.mlp.c_proj.bias")).toBe(0);
  expect(deviation("h.1.ln_1.weight")).toBe(1);
});

test("before training every character is about as likely, and no position sees those after it", async () => {
  const model = charGpt({ layers: 2, width: 32, context: 16, vocabulary: 20 });
  const runner = await openRunner(writeModel(model.graph));
  const { input_ids: ids } = feedsOf(model, 1, { batch: 1, positions: 16 });
  const tokens = Array.from(readNumbers(ids!), Number);
  const logits = async (numbers: readonly number[]): Promise<readonly number[]> => {
    const outputs = await runner.run({ input_ids: { data: numbers, shape: [1, numbers.length] } });
    return Array.from(numbersOf(outputs["logits"]!));
  };
  const whole = await logits(tokens);
  expect(Math.max(...whole.map(Math.abs))).toBeLessThan(1);
  const changed = await logits([...tokens.slice(0, 10), ...tokens.slice(10).map((token) => 19 - token)]);
  expect(changed.slice(0, 200)).toEqual(whole.slice(0, 200));
  expect(changed.slice(200)).not.toEqual(whole.slice(200));
  const start = await logits(tokens.slice(0, 10));
  start.forEach((logit, i) => expect(logit).toBeCloseTo(whole[i]!, 5));
  await runner.dispose();
});
