import { expect, test } from "vitest";
import { bert } from "../../../onnx/test/models/bert.ts";
import { findBlocks } from "../blocks/find-blocks.ts";
import { checkDistinct } from "./gated-part.ts";

test("files that name different places alike are refused: a gate would be of both", () => {
  const { graph } = bert();
  const [first, second] = ["encoder_model", "decoder_model"].map((file) => {
    return { file, blocks: findBlocks(graph, file).blocks };
  });
  checkDistinct([first!]);
  expect(() => checkDistinct([first!, second!])).toThrow(
    /encoder_model\.onnx and decoder_model\.onnx both have a place ".*heads"/,
  );
});
