import { createRequire } from "node:module";
import { Command } from "commander";
import type { Context } from "../io/context.ts";
import { addBench } from "./bench.ts";
import { addInspect } from "./inspect.ts";
import { addLearn } from "./learn.ts";
import { addPrune } from "./prune.ts";
import { addTrain } from "./train.ts";
import { addVerify } from "./verify.ts";

/** The `dgate` command with all its subcommands; nothing is written to stdout but through `context.print`. */
export function buildProgram(context: Context): Command {
  const { version } = createRequire(import.meta.url)("@dgate/cli/package.json") as { version: string };
  const program = new Command("dgate")
    .description("Structured sparsity for JavaScript: train, prune and prove smaller models.")
    .version(version)
    .exitOverride()
    .showSuggestionAfterError()
    .configureOutput({
      writeOut: context.print,
      writeErr: (text) => context.progress.line(text.trimEnd()),
      // `run` prints the one line that an error gets.
      outputError: () => undefined,
    })
    .addHelpText(
      "after",
      "\nExit codes: 0 done, 1 the work failed or a check did not hold, 2 wrong usage or bad input, 130 stopped by Ctrl-C.",
    );
  for (const add of [addInspect, addTrain, addPrune, addLearn, addVerify, addBench]) add(program, context);
  return program;
}
