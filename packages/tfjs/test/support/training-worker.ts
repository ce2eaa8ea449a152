import { setTimeout } from "node:timers/promises";
import { type RunOptions, trainingRun } from "./training-run.ts";

// A child process that trains slowly, says so on stdout at each step, and stops at Ctrl-C with a checkpoint.
const [directory = "", optimizer = "momentum"] = process.argv.slice(2);
const abort = new AbortController();
process.once("SIGINT", () => abort.abort());
try {
  await trainingRun({
    directory,
    optimizer: optimizer as RunOptions["optimizer"],
    continued: false,
    signal: abort.signal,
    onStep: async (epoch, batch) => {
      process.stdout.write(`step ${epoch} ${batch}\n`);
      await setTimeout(20);
    },
  });
} catch (error) {
  process.stdout.write(`stopped: ${(error as { code?: string }).code}\n`);
}
