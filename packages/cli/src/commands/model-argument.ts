import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { DgateError } from "@dgate/core";
import type { Dtype } from "@dgate/transformers";
import { type Command, Option } from "commander";

/** Element types that `save` can write. */
export const writtenDtypes: readonly Dtype[] = ["fp32", "q8", "int8", "uint8", "q4"];

const dtypes: readonly Dtype[] = [...writtenDtypes, "fp16", "q4f16", "bnb4"];

/** A model as it is named on the command line. */
export interface ModelArgument {
  /** Of a folder its absolute path, for a relative one may look like an id of the hub. */
  readonly path: string;
  readonly kind: "file" | "folder" | "id";
}

/**
 * What a MODEL is: a path that is there, else an id of the hub (`owner/name`, or a name without an ending `.onnx`).
 *
 * @throws DgateError `IO` for a path that is not there and cannot be an id
 */
export async function checkModelArgument(command: string, model: string): Promise<ModelArgument> {
  const found = await stat(model).catch(() => undefined);
  if (found?.isDirectory()) return { path: resolve(model), kind: "folder" };
  if (found || model.endsWith(".onnx")) return { path: model, kind: "file" };
  const { isModelId } = await import("@dgate/transformers");
  if (isModelId(model)) return { path: model, kind: "id" };
  throw new DgateError(
    "IO",
    `${command}: ${model} is not there, and it is no id of the hub (owner/name); is the path right?`,
  );
}

/** Adds the options that say where the files of a model are, and as what it is opened. */
export function addModelOptions(
  command: Command,
  { task = true }: { readonly task?: boolean } = {},
): Command {
  if (task) command.option("--task <name>", "task of the pipeline, where the architecture does not tell it");
  return command
    .addOption(
      new Option(
        "--dtype <name>",
        "which of the model's files is read (default: the least quantized)",
      ).choices(dtypes),
    )
    .option("--revision <name>", "branch, tag or commit of a model of the hub (default: main)")
    .option("--subfolder <name>", "folder of the ONNX files in the model (default: onnx)")
    .option("--cache-dir <dir>", "cache of transformers.js")
    .option("--local", "download nothing: folders and the cache only", false);
}
