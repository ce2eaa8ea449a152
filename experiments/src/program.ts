import { join, resolve } from "node:path";
import { DgateError, formatTable } from "@dgate/core";
import { Command, CommanderError, Option } from "commander";
import type { Conclusion, Experiment } from "./experiment.ts";
import { chooseExperiments, experiments } from "./registry.ts";
import { missingData } from "./training/required-data.ts";
import type { Backend } from "./training/task.ts";
import { runExperiment } from "./runner/run-experiment.ts";

const here = join(import.meta.dirname, "..");

/** Where tables of results stand. */
export const readmes: readonly string[] = ["README.md", "docs/choosing.md"].map((path) =>
  join(here, "..", path),
);

/** Streams and signal of a call. */
export interface ProgramContext {
  readonly signal: AbortSignal;
  readonly print: (text: string) => void;
  readonly log: (line: string) => void;
}

interface RunFlags {
  readonly quick?: boolean;
  readonly seeds?: number;
  readonly backend: Backend;
  readonly processes?: number;
  readonly results?: string;
}

interface ReportFlags extends Omit<RunFlags, "seeds" | "processes"> {
  readonly out?: string;
}

/**
 * `pnpm experiments list | run NAME | report`.
 *
 * @returns 0 done, 1 a claim did not hold or a run failed, 2 wrong usage, 130 stopped
 */
export async function experimentsProgram(argv: readonly string[], context: ProgramContext): Promise<number> {
  let code = 0;
  const program = new Command("experiments")
    .description("The claims of the D-Gating paper, run.")
    .exitOverride()
    .configureOutput({ writeOut: context.print, writeErr: (text) => context.log(text.trimEnd()) });
  program
    .command("list")
    .description("what there is")
    .action(() => context.print(`${listing()}\n`));
  program
    .command("run <name>")
    .description(
      "makes the runs of an experiment or of a family that are not there yet, and says what came out",
    )
    .option("--quick", "small sizes, seconds")
    .option("--seeds <count>", "how many seeds", positive)
    .addOption(backendOption())
    .option("--processes <count>", "runs at a time", positive)
    .option("--results <folder>", "where runs are kept", fromCaller)
    .action(async (name: string, flags: RunFlags) => {
      for (const experiment of chooseExperiments(name)) {
        try {
          if (!(await runOne(experiment, flags, context))) code = 1;
        } catch (error) {
          // The others of a family can be run nevertheless.
          code = failure(error, context);
          if (context.signal.aborted) return;
          code = 1;
        }
      }
    });
  program
    .command("report")
    .description(
      "one page, docs/results.md and tables of READMEs, of the whole sweeps that are there; of quick runs, another backend or another folder a page and results.md apart",
    )
    .option("--quick", "of quick runs")
    .addOption(backendOption())
    .option("--results <folder>", "where runs are kept", fromCaller)
    .option("--out <folder>", "writes page, results.md and plots there, and nothing else", fromCaller)
    .action(async ({ quick = false, backend, results, out }: ReportFlags) => {
      const isPublished = out === undefined && results === undefined && !quick && backend === "cpu";
      const folder = out ?? join(here, "report", isPublished ? "" : quick ? "quick" : backend);
      // It brings the plotting library, which no other command needs.
      const { writeReport } = await import("./report/write-report.ts");
      const { page, markdown, incomplete } = await writeReport({
        results: results ?? resultsFolder(quick),
        quick,
        backend,
        docs: isPublished ? join(here, "../docs") : folder,
        page: join(folder, "index.html"),
        readmes: isPublished ? readmes : [],
      });
      if (incomplete.length > 0)
        context.log(
          `experiments: not in it, or with fewer seeds than a whole sweep: ${incomplete.join(", ")}`,
        );
      context.print(`${page}\n${markdown}\n`);
    });
  try {
    await program.parseAsync(argv, { from: "user" });
    return code;
  } catch (error) {
    return failure(error, context);
  }
}

const backendOption = (): Option =>
  new Option(
    "--backend <name>",
    "where networks are trained: onnxruntime-node (cpu), onnxruntime-web (wasm), a GPU (webgpu)",
  )
    .choices(["cpu", "wasm", "webgpu"])
    .default("cpu");

/** pnpm runs this in its own folder: a path is meant from where the caller stands. */
const fromCaller = (path: string): string => resolve(process.env["INIT_CWD"] ?? ".", path);

const resultsFolder = (quick: boolean): string => join(here, quick ? ".quick" : "results");

/** Where the runs of an experiment are kept. */
const fileOf = (folder: string, { name }: Experiment): string => join(folder, `${name}.jsonl`);

async function runOne(
  experiment: Experiment,
  { quick = false, seeds = quick ? 3 : experiment.seeds, backend, processes, results }: RunFlags,
  { signal, log, print }: ProgramContext,
): Promise<boolean> {
  const missing = missingData(experiment.data?.(quick) ?? []);
  if (missing !== undefined)
    throw new DgateError(
      "IO",
      `${experiment.name}: ${missing} is not there; set DGATE_DATA to a folder that has it.`,
    );
  const runs = await runExperiment(experiment, {
    quick,
    seeds: Array.from({ length: seeds }, (_, i) => i + 1),
    backend,
    signal,
    ...(processes !== undefined && { processes }),
    file: fileOf(results ?? resultsFolder(quick), experiment),
    onRun: (done, all, { setup, seconds }) =>
      log(`${experiment.name} ${done}/${all}: ${describe(setup)}, ${seconds} s`),
    onFailure: ({ message }) => log(`failed: ${message}`),
  });
  const conclusion = experiment.conclude(runs);
  print(`${summary(experiment, conclusion)}\n`);
  return conclusion.verdicts.every(({ holds }) => holds);
}

function describe(setup: object): string {
  return Object.entries(setup)
    .filter(([, value]) => !Array.isArray(value) || value.length < 6)
    .map(([name, value]) => `${name} ${Array.isArray(value) ? value.join(" ") : value}`)
    .join(", ");
}

/** Verdicts and tables, for a terminal. */
function summary({ name, title }: Experiment, { verdicts, tables }: Conclusion): string {
  const lines = verdicts.map(
    ({ holds, claim, figure }) => `  ${holds ? "holds" : "DOES NOT HOLD"}: ${claim}: ${figure}`,
  );
  const printed = tables.map((table) => `\n${table.title}\n${formatTable(table.header, table.rows)}`);
  return [`${name}: ${title}`, ...lines, ...printed].join("\n");
}

function listing(): string {
  return formatTable(
    ["name", "family", "seeds", "runs", "what"],
    experiments.map((experiment) => {
      const seeds = Array.from({ length: experiment.seeds }, (_, i) => i + 1);
      const runs = experiment.setups({ quick: false, seeds }).length;
      return [experiment.name, experiment.family, String(experiment.seeds), String(runs), experiment.title];
    }),
  );
}

function positive(text: string): number {
  if (/^[1-9]\d{0,3}$/.test(text)) return Number(text);
  throw new DgateError("OPTION", `${text} is no count; give a whole number of at least 1.`);
}

function failure(error: unknown, { signal, log }: ProgramContext): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2;
  if (signal.aborted) {
    log("experiments: stopped; what is done is kept, the same command goes on from there");
    return 130;
  }
  if (!(error instanceof Error)) throw error;
  log(`experiments: ${error.message}`);
  return error instanceof DgateError && error.code === "OPTION" ? 2 : 1;
}
