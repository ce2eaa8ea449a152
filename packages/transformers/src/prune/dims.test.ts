import { Graph } from "@dgate/onnx";
import { expect, test } from "vitest";
import { dimsOf, imageDims } from "./dims.ts";

function graphOf(shape: readonly string[]): Graph {
  const graph = new Graph("g");
  graph.addInput("x", { dtype: "float32", shape });
  return graph;
}

test("a text has 128 tokens, or as many as the model takes, and no past", () => {
  const graph = graphOf(["batch_size", "sequence_length", "past_sequence_length"]);
  expect(dimsOf(graph, {})).toEqual({ batch_size: 1, sequence_length: 128, past_sequence_length: 0 });
  expect(dimsOf(graph, { max_position_embeddings: 64 })).toMatchObject({ sequence_length: 64 });
  expect(dimsOf(graph, {}, { sequence_length: 7 })).toMatchObject({ sequence_length: 7 });
});

test("an image has the size that the config says, in proofs too", () => {
  const graph = graphOf(["batch_size", "num_channels", "height", "width"]);
  const dims = dimsOf(graph, { image_size: [32, 48], num_channels: 1 });
  expect(dims).toEqual({ batch_size: 1, num_channels: 1, height: 32, width: 48 });
  expect(imageDims(dims)).toEqual({ num_channels: 1, height: 32, width: 48 });
  expect(dimsOf(graph, { image_size: 384 })).toMatchObject({ num_channels: 3, height: 384, width: 384 });
});
