import { DgateError } from "@dgate/core";
import type { Command } from "commander";

/** `dgate learn`: gates of transformers.js models, in the package @dgate/transformers. */
export function addLearn(program: Command): void {
  program
    .command("learn")
    .description("gates of a transformers.js model: not in this version, needs @dgate/transformers")
    .argument("<model>", "model directory or hub id")
    .allowUnknownOption()
    .allowExcessArguments()
    .action((model: string) => {
      throw new DgateError(
        "UNSUPPORTED",
        `learn ${model}: this version has no @dgate/transformers; use dgate prune for ONNX files.`,
      );
    });
}
