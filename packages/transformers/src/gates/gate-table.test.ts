import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import type { Site } from "@dgate/onnx";
import type { GatedBlock, SiteGroup } from "../blocks/block.ts";
import { GateTable } from "./gate-table.ts";

const block = (layer: number, groups: number, group: SiteGroup = "heads", file = "model"): GatedBlock => ({
  name: `${file}.${layer}.${group}`,
  group,
  layer,
  file,
  groups,
  // A table looks at names and numbers of groups only.
  site: { name: `${layer}` } as Site,
  sites: [],
});

describe("a table of gates", () => {
  test("prints layers × groups: open, closed, scaled", () => {
    const table = new GateTable([block(0, 4), block(1, 3)], "head");
    table.set(0, 1, 0);
    table.set(0, 2, 0.5);
    table.set(1, 0, -2);
    expect(String(table)).toMatchInlineSnapshot(`
      "head      0  1     2  3
      -------  --  -  ----  -
      layer 0   1  ·  0.50  1
      layer 1  -2  1     1"
    `);
    expect(inspect(table)).toBe(String(table));
  });

  test("counts layers as set does, over the files of a model that has several", () => {
    const files = [block(0, 2, "heads", "encoder_model"), block(0, 2, "heads", "decoder_model_merged")];
    expect(String(new GateTable(files, "head"))).toMatchInlineSnapshot(`
      "head                            0  1
      ------------------------------  -  -
      layer 0 (encoder_model)         1  1
      layer 1 (decoder_model_merged)  1  1"
    `);
  });

  test("counts the open groups of layers too wide to print", () => {
    const table = new GateTable([block(0, 1024, "ffn"), block(1, 1024, "ffn")], "neuron");
    for (let neuron = 0; neuron < 24; neuron++) table.set(1, neuron, 0);
    expect(String(table)).toMatchInlineSnapshot(`
      "neuron   groups  open
      -------  ------  ----
      layer 0    1024  1024
      layer 1    1024  1000"
    `);
    expect(table.count).toBe(2048);
  });

  test("without any layer it prints its header", () => {
    const empty = new GateTable([], "neuron");
    expect(String(empty)).toContain("neuron");
    expect([empty.layers, empty.count, empty.values]).toEqual([0, 0, []]);
  });

  test("values are a copy, the gates of a block are not", () => {
    const table = new GateTable([block(0, 2)], "head");
    table.values[0]![1] = 7;
    expect(table.get(0, 1)).toBe(1);
    table.of("model.0.heads")![1] = 7;
    expect(table.get(0, 1)).toBe(7);
    expect(table.of("model.1.heads")).toBeUndefined();
  });

  test.each([
    [0, 2, "layer 0 has no head 2; it has 2 (0 to 1)."],
    [0, -1, "layer 0 has no head -1; it has 2 (0 to 1)."],
    [0, 0.5, "layer 0 has no head 0.5; it has 2 (0 to 1)."],
    [0, Number.NaN, "layer 0 has no head NaN; it has 2 (0 to 1)."],
    [1, 0, "no layer 1 with a head to gate: there are 1 (0 to 0)."],
    [-1, 0, "no layer -1 with a head to gate: there are 1 (0 to 0)."],
  ])("layer %f and head %f are refused", (layer, head, message) => {
    const table = new GateTable([block(0, 2)], "head");
    expect(() => table.get(layer, head)).toThrow(message);
    expect(() => table.set(layer, head, 0)).toThrow(expect.objectContaining({ code: "GROUP" }));
    expect(table.values).toEqual([Float64Array.of(1, 1)]);
  });

  test("what has no gates says how it gets them", () => {
    expect(() => new GateTable([], "neuron").get(0, 0)).toThrow("name them in the sites of openHeadGates");
  });

  test.each([Number.NaN, Infinity, -Infinity])("a gate of %f is refused", (value) => {
    const table = new GateTable([block(0, 2)], "head");
    expect(() => table.set(0, 1, value)).toThrow(expect.objectContaining({ code: "DATA" }));
    expect(table.get(0, 1)).toBe(1);
  });
});
