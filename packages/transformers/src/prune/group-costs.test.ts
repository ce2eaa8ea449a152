import { expect, test } from "vitest";
import type { Value } from "@dgate/onnx";
import { GraphBuilder } from "../../../onnx/test/graph-builder.ts";
import { findBlocks } from "../blocks/find-blocks.ts";
import { groupCosts } from "./group-costs.ts";

test("feed-forward layers of as many neurons but other widths cost what they do", () => {
  const net = new GraphBuilder(1);
  const branch = (x: Value, name: string, width: number): Value => {
    const hidden = net.op("Relu", [net.matmul(`${name}.up`, x, [width, 24])]);
    return net.op("Add", [x, net.matmul(`${name}.down`, hidden, [24, width])]);
  };
  const narrow = branch(net.input("x", ["batch", 8]), "narrow", 8);
  const graph = net.output(branch(net.matmul("widen", narrow, [8, 16]), "wide", 16));
  const blocks = findBlocks(graph, "model").blocks.filter(({ group }) => group === "ffn");
  const { total, perGroup } = groupCosts(graph, blocks, { batch: 1 });
  expect(total).toBe(2 * 8 * 24 + 8 * 16 + 2 * 16 * 24);
  expect(blocks.map(({ name }) => perGroup.get(name))).toEqual([2 * 8, 2 * 16]);
});
