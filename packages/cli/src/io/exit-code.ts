import { DgateError, type DgateErrorCode } from "@dgate/core";

/** 0 done, 1 the work failed or the check did not hold, 2 wrong usage or bad input, 130 stopped by Ctrl-C. */
export type ExitCode = 0 | 1 | 2 | 130;

const exitCodes: Readonly<Record<DgateErrorCode, ExitCode>> = {
  OPTION: 2,
  SHAPE: 2,
  GROUP: 2,
  NO_MATCH: 2,
  UNSUPPORTED: 2,
  FORMAT: 2,
  DATA: 2,
  IO: 2,
  MISSING_PACKAGE: 2,
  CHECK: 1,
  DIVERGED: 1,
  MEMORY: 1,
  ABORTED: 130,
};

/** The exit code and the one line for stderr that an error stands for. */
export function describeFailure(error: unknown): { readonly code: ExitCode; readonly line: string } {
  if (error instanceof DgateError) return { code: exitCodes[error.code], line: oneLine(error.message) };
  const message = error instanceof Error ? `${error.name}: ${error.message}` : String(error);
  return {
    code: 1,
    line: `internal error: ${oneLine(message)} (set DGATE_DEBUG=1 for the stack, and please report it)`,
  };
}

/** Line breaks become blanks: an error is one line, whatever library wrote it. */
export const oneLine = (text: string): string => text.trim().replace(/\s*\n\s*/g, " ");
