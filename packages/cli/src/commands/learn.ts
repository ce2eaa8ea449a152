import { availableParallelism } from "node:os";
import { DgateError } from "@dgate/core";
import type { SiteGroup, Target } from "@dgate/transformers";
import { type Command, InvalidArgumentError, Option } from "commander";
import { type Context, printResult } from "../io/context.ts";
import type { LearnRequest } from "../learn/request.ts";
import { listOf, namedSize, realNumber, wholeNumber } from "./arguments.ts";
import { addModelOptions, checkModelArgument, writtenDtypes } from "./model-argument.ts";

const siteGroups = ["heads", "ffn", "layers"] as const satisfies readonly SiteGroup[];

type LearnFlags = Omit<LearnRequest, "model" | "data" | "sites"> & {
  readonly data?: string;
  readonly sites?: SiteGroup[];
  readonly json: boolean;
};

/** `dgate learn MODEL -o OUT`: gates of a transformers.js model, learned from texts or images. */
export function addLearn(program: Command, context: Context): void {
  const command = program
    .command("learn")
    .description(
      "learn which attention heads and neurons of a transformers.js model matter, remove the rest, write a smaller model folder",
    )
    .argument("<model>", "model folder (config.json, onnx/*.onnx), or an id of the hub")
    .requiredOption("-o, --out <dir>", "model folder to write")
    .option(
      "--data <path>",
      "what to learn from: .jsonl, .tsv, .csv or .txt, or a folder of images with a subfolder for each class",
    );
  addData(command);
  addGating(command);
  addTraining(command);
  addModelOptions(command);
  addOutputs(command).action(async (model: string, flags: LearnFlags) => {
    const request = await requestOf(model, flags);
    const { learn } = await import("../learn/learn.ts");
    const { describeLearning } = await import("../learn/describe.ts");
    const document = await learn(request, context);
    printResult(context, flags.json, document, describeLearning(document));
  });
}

function addData(command: Command): void {
  command
    .option("--text-column <name>", "column or key of the text (default: sentence or text)")
    .option("--pair-column <name>", "column or key of a second text (default: sentence2, if there is one)")
    .option("--label-column <name>", "column or key of the class: its number or its name (default: label)")
    .option("--limit <n>", "at most so many examples, drawn by --seed", wholeNumber(2))
    .option("--held-out <f>", "fraction of the data that is scored on (default: 0.1), or a file", heldOut)
    .option("--max-length <n>", "tokens that longer examples are cut to", wholeNumber(1));
}

function addGating(command: Command): void {
  command
    .option(
      "--target <what=value>",
      "heads=0.5 or macs=0.6 (fraction that stays), or speedup=1.5 (default: heads=0.5, but none with --lambda)",
      targetOf,
    )
    .option(
      "--sites <kinds>",
      `what gets gates: ${siteGroups.join(",")} (default: heads; with macs or speedup heads,ffn)`,
      listOf(siteGroups),
    )
    .addOption(
      new Option("--train <what>", "gates alone, the weights of the groups too, or all weights")
        .choices(["gates", "groups", "all"])
        .default("gates"),
    )
    .option("--depth <D>", "D of the gating, at least 2", wholeNumber(2, 16), 3)
    .option(
      "--lambda <L>",
      "strength of the penalty; with a target what it starts from (default: 1e-3)",
      realNumber({ least: 0 }),
    )
    .addOption(
      new Option(
        "--objective <name>",
        "what is made small: distance from the dense model (default), error on labels, …",
      ).choices(["distill", "labels", "next-token", "embedding"]),
    )
    .option("--minimum <n>", "groups of each layer that stay at least (default: 1)", wholeNumber(0))
    .option("--even", "all layers keep the same number of heads (default for decoders with a cache)")
    .option("--no-even", "layers may differ, in decoders too: transformers.js 4 alone opens such a folder");
}

function addTraining(command: Command): void {
  command
    .option("--steps <n>", "training steps in all (default: 300)", wholeNumber(2, 10_000_000))
    .option("--rounds <n>", "rounds of gating and removing (default: 1)", wholeNumber(1, 1000))
    .option("--batch <n>", "examples per step (default: 16)", wholeNumber(1, 100_000))
    .option("--learning-rate <r>", "of the weights (default: 1e-4)", realNumber({ above: 0 }))
    .option(
      "--gate-rate <r>",
      "learning rate of the gates (default: 0.1, with trained weights 5e-2)",
      realNumber({ above: 0 }),
    )
    .option("--seed <n>", "of the order and the choice of the data", wholeNumber(0, 2 ** 31 - 1), 1)
    .option(
      "--threads <n>",
      "threads of onnxruntime (default: all cores, 8 at most)",
      wholeNumber(1, 1024),
      Math.min(8, availableParallelism()),
    );
}

function addOutputs(command: Command): Command {
  return command
    .option("--dtypes <names>", "element types to write (default: fp32,q8)", listOf(writtenDtypes))
    .option("--no-fuse", "leave attention and normalisations as single operators")
    .option("--no-latency", "do not time the models")
    .option("--dim <name=size>", "size of an open dimension, for the MACs; may be repeated", namedSize)
    .option("--force", "replace the output folder", false)
    .option("--json", "print one JSON document on stdout", false);
}

async function requestOf(model: string, { data, ...flags }: LearnFlags): Promise<LearnRequest> {
  if (data === undefined) {
    throw new DgateError(
      "OPTION",
      `learn ${model}: give --data FILE: texts like those that the model will see, .jsonl, .tsv, .csv or .txt.`,
    );
  }
  const { path, kind } = await checkModelArgument("learn", model);
  if (kind === "file") {
    throw new DgateError(
      "OPTION",
      `learn ${model}: is a single file; give its model folder, with config.json and tokenizer, or prune the file with dgate prune.`,
    );
  }
  const target = flags.target ?? (flags.lambda === undefined ? { heads: 0.5 } : undefined);
  const sites = flags.sites ?? (target === undefined || "heads" in target ? ["heads"] : ["heads", "ffn"]);
  return { ...flags, model: path, data, target, sites };
}

/** `heads=0.5`, `macs=0.6` or `speedup=1.5`. */
function targetOf(text: string): Target {
  const [name, value = "", ...rest] = text.split("=");
  const fraction = realNumber({ above: 0, most: 1 });
  if (rest.length === 0 && name === "heads") return { heads: fraction(value) };
  if (rest.length === 0 && name === "macs") return { macs: fraction(value) };
  if (rest.length === 0 && name === "speedup") return { speedup: realNumber({ least: 1 })(value) };
  throw new InvalidArgumentError(
    "Give heads=FRACTION or macs=FRACTION, what stays, or speedup=TIMES: heads=0.5, say.",
  );
}

/** A fraction, or the name of a file. */
const heldOut = (text: string): number | string =>
  Number.isNaN(Number(text)) ? text : realNumber({ above: 0, below: 1 })(text);
