import { CommanderError } from "commander";
import { buildProgram } from "./commands/program.ts";
import { describeFailure, type ExitCode, oneLine } from "./io/exit-code.ts";
import { type Progress, progressOn } from "./io/terminal.ts";

/** Streams and signal of a run of the command; those of the process by default. */
export interface RunOptions {
  readonly stdout?: NodeJS.WritableStream;
  readonly progress?: Progress;
  /** Stops the work; what is written so far is whole. */
  readonly signal?: AbortSignal;
}

/**
 * Runs `dgate` with the given arguments. Never throws and never ends the process.
 *
 * @param argv arguments after the command's name
 * @returns 0 done, 1 the work failed or a check did not hold, 2 wrong usage or bad input, 130 stopped
 */
export async function run(argv: readonly string[], options: RunOptions = {}): Promise<ExitCode> {
  const {
    stdout = process.stdout,
    progress = progressOn(process.stderr),
    signal = new AbortController().signal,
  } = options;
  const print = (text: string): void => {
    stdout.write(text);
  };
  const program = buildProgram({ progress, signal, print });
  try {
    await program.parseAsync(argv, { from: "user" });
    return 0;
  } catch (error) {
    // An error of commander does not say which command it is of.
    const command = program.commands.find((candidate) => candidate.name() === argv[0])?.name();
    return report(error, progress, signal, `see dgate ${command === undefined ? "" : `${command} `}--help`);
  }
}

function report(error: unknown, progress: Progress, signal: AbortSignal, seeHelp: string): ExitCode {
  if (error instanceof CommanderError) {
    // Help and version end by an exception too. Without a command the help went to stderr.
    if (error.exitCode === 0) return 0;
    if (error.code !== "commander.help")
      progress.line(
        `dgate: ${oneLine(error.message.replace(/^error: /, "")).replace(/\.$/, "")}; ${seeHelp}`,
      );
    return 2;
  }
  if (process.env["DGATE_DEBUG"] && error instanceof Error) progress.line(error.stack ?? error.message);
  const { code, line } = describeFailure(error);
  if (signal.aborted) {
    progress.line(`dgate: stopped${code === 130 ? `: ${line}` : ""}`);
    return 130;
  }
  progress.line(`dgate: ${line}`);
  return code;
}
