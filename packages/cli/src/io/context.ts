import { DgateError } from "@dgate/core";
import type { Progress } from "./terminal.ts";

/** What a command is given besides its options. */
export interface Context {
  readonly progress: Progress;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** Writes to stdout. */
  readonly print: (text: string) => void;
}

/** One JSON document, the only thing on stdout, or text for people. */
export function printResult(context: Context, json: boolean, document: unknown, text: string): void {
  context.print(json ? `${JSON.stringify(document, null, 2)}\n` : `${text}\n`);
}

/** @throws DgateError `ABORTED` after Ctrl-C: between two steps of a command, so that it writes nothing more */
export function stopIfAborted(signal: AbortSignal, command: string): void {
  if (signal.aborted) throw new DgateError("ABORTED", `${command}: cancelled.`, { cause: signal.reason });
}
