import { Graph } from "@dgate/onnx";
import { describe, expect, test } from "vitest";
import { cacheHeads, evenHeads, sameHeads } from "./cache-heads.ts";

function decoder(shapes: Readonly<Record<string, readonly (number | string)[]>>): Graph {
  const graph = new Graph();
  graph.addInput("input_ids", { dtype: "int64", shape: ["batch", "sequence"] });
  for (const [name, shape] of Object.entries(shapes)) graph.addInput(name, { dtype: "float32", shape });
  return graph;
}

const cache = (heads: number | string, dim: number | string = 8) => ["batch", heads, "past", dim];

describe("heads of caches", () => {
  test("are counted layer by layer in the order of their numbers", () => {
    const layers = Array.from({ length: 11 }, (_, i) => [`past_key_values.${i}.key`, cache(i + 1)] as const);
    const found = cacheHeads(decoder(Object.fromEntries(layers.toReversed())));
    expect(found).toEqual({ decoder: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11], encoder: [], headDim: 8 });
    expect(evenHeads(found!)).toBeUndefined();
  });

  test("of an encoder–decoder are told by side", () => {
    const found = cacheHeads(
      decoder({ "past_key_values.0.decoder.key": cache(3), "past_key_values.0.encoder.value": cache(2) }),
    );
    expect(found).toEqual({ decoder: [3], encoder: [2], headDim: 8 });
    expect(sameHeads(found, { decoder: [3], encoder: [], headDim: 8 })).toBe(false);
    expect(sameHeads(undefined, undefined)).toBe(true);
  });

  test("are unknown where the model does not declare them, or where keys have other heads than values", () => {
    expect(cacheHeads(decoder({}))).toBeUndefined();
    expect(cacheHeads(decoder({ "past_key_values.0.key": cache("heads") }))).toBeUndefined();
    expect(cacheHeads(decoder({ "past_key_values.0.key": ["batch x heads", "past", 8] }))).toBeUndefined();
    const both = { "past_key_values.0.key": cache(2), "past_key_values.0.value": cache(3) };
    expect(cacheHeads(decoder(both))).toBeUndefined();
  });

  test("of several lengths have no one head dim", () => {
    const both = { "past_key_values.0.key": cache(2), "past_key_values.0.value": cache(2, 16) };
    expect(cacheHeads(decoder(both))).toEqual({ decoder: [2], encoder: [], headDim: undefined });
  });
});
