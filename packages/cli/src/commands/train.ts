import type { SiteKind } from "@dgate/tfjs";
import { type Command, Option } from "commander";
import { isImageTask } from "../data/load-task.ts";
import { type Context, printResult } from "../io/context.ts";
import { describeRun } from "../train/describe.ts";
import { lambdaSchedules } from "../train/rates.ts";
import type { TrainRequest } from "../train/request.ts";
import { listOf, realNumber, wholeNumber } from "./arguments.ts";

const backends = ["auto", "node-gpu", "node", "webgpu", "wasm", "cpu"] as const;
const siteKinds = ["neurons", "inputs", "filters"] as const satisfies readonly SiteKind[];

/** Values as commander parses them; what is left out depends on the data. */
interface TrainFlags {
  readonly data: string;
  readonly target?: string;
  readonly arch?: string;
  readonly method: TrainRequest["method"];
  readonly depth: number;
  readonly lambda?: number;
  readonly lambdaSchedule: TrainRequest["lambdaSchedule"];
  readonly sites?: SiteKind[];
  readonly epochs?: number;
  readonly batch?: number;
  readonly lr?: number;
  readonly momentum: number;
  readonly optimizer: "sgd" | "adam";
  readonly warmup?: number;
  readonly init: TrainRequest["initialisation"];
  readonly threshold: number;
  readonly seed: number;
  readonly backend: TrainRequest["backend"];
  readonly dense: boolean;
  readonly trainSize?: number;
  readonly testSize?: number;
  readonly checkpoint?: string;
  readonly resume: boolean;
  readonly out?: string;
  readonly force: boolean;
  readonly verbose: boolean;
  readonly json: boolean;
}

/** `dgate train`: dense baseline, gated training, collapse, pruning, export and proof. */
export function addTrain(program: Command, context: Context): void {
  const command = program
    .command("train")
    .description("train a network with D-Gating, prune it, export it to ONNX and prove the result")
    .option("--data <name>", "digits, mnist, fashion-mnist, cifar10 or a CSV file", "digits")
    .option("--target <column>", "column of a CSV file to predict: name, or number from 1")
    .option("--arch <name>", "lenet-300-100, lenet-5 or mlp:WIDTH-WIDTH-… (default: by the data)")
    .addOption(
      new Option("--method <name>", "gates, the sparse penalty by sub-gradient, or the dense baseline alone")
        .choices(["dgate", "direct", "dense"])
        .default("dgate"),
    )
    .option("--depth <D>", "D of the gating, at least 2", wholeNumber(2, 16), 3)
    .option(
      "--lambda <L>",
      "strength of the penalty, at least 0 (default: by the data)",
      realNumber({ least: 0 }),
    )
    .addOption(
      new Option(
        "--lambda-schedule <name>",
        "up from 0 over the first 30 % of the steps and down to 0 over the last 30 %, or constant",
      )
        .choices(lambdaSchedules)
        .default("up-and-down"),
    )
    .option(
      "--sites <kinds>",
      `what is gated: ${siteKinds.join(",")} (default: by the network)`,
      listOf(siteKinds),
    );
  addOptimisation(command);
  addOutputs(command).action(async (flags: TrainFlags) => {
    const { train } = await import("../train/train.ts");
    const document = await train(requestOf(flags), context);
    printResult(context, flags.json, document, describeRun(document));
  });
}

function addOptimisation(command: Command): void {
  command
    .option("--epochs <n>", "passes over the training data (default: by the data)", wholeNumber(1, 100_000))
    .option("--batch <n>", "examples per step (default: by the data)", wholeNumber(1))
    .option(
      "--lr <rate>",
      "learning rate, held for 70 % of the steps, then cosine to 0",
      realNumber({ above: 0 }),
    )
    .option("--momentum <m>", "of SGD", realNumber({ least: 0, below: 1 }), 0.9)
    .addOption(new Option("--optimizer <name>", "optimiser").choices(["sgd", "adam"]).default("sgd"))
    .option("--warmup <epochs>", "epochs in which the rate rises from 0", realNumber({ least: 0 }))
    .addOption(
      new Option("--init <name>", "how gates start")
        .choices(["balanced", "ones", "variance-matched"])
        .default("balanced"),
    )
    .option(
      "--threshold <r>",
      "a group is dead at this fraction of its site's largest norm",
      realNumber({ least: 0, below: 1 }),
      0.01,
    )
    .option("--seed <n>", "of weights, order and data", wholeNumber(0, 2 ** 31 - 1), 1)
    .addOption(new Option("--backend <name>", "tfjs backend").choices(backends).default("auto"))
    .option("--no-dense", "leave out the dense baseline")
    .option("--train-size <n>", "at most so many training examples", wholeNumber(10))
    .option("--test-size <n>", "at most so many test examples", wholeNumber(10));
}

function addOutputs(command: Command): Command {
  return command
    .option(
      "--checkpoint <dir>",
      "keep a checkpoint of the gated training there, after every epoch and on Ctrl-C",
    )
    .option("--resume", "go on from the checkpoint", false)
    .option(
      "-o, --out <dir>",
      "write model.onnx, report.json and report.html there; without it no file is kept",
    )
    .option("--force", "overwrite files in the output folder", false)
    .option("--verbose", "say why faster backends were not taken", false)
    .option("--json", "print one JSON document on stdout", false);
}

/** Fills in what depends on the data. */
function requestOf(flags: TrainFlags): TrainRequest {
  const { init, dense, ...rest } = flags;
  const table = !isImageTask(flags.data);
  const arch = flags.arch ?? (table ? "mlp" : flags.data === "cifar10" ? "lenet-5" : "lenet-300-100");
  const usual = table
    ? { lambda: 3e-2, epochs: 200, batch: 32, lr: 0.05, warmup: 5 }
    : { lambda: 2e-3, epochs: 16, batch: 128, lr: 0.1, warmup: 1 };
  return {
    ...usual,
    ...rest,
    arch,
    initialisation: init,
    withDense: dense,
    sites: flags.sites ?? (table ? ["inputs"] : undefined),
  };
}
