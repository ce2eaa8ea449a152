import { DgateError } from "@dgate/core";

/** @throws DgateError `ABORTED` once the signal has fired */
export function stopIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted)
    throw new DgateError("ABORTED", "save: cancelled; nothing was left behind.", { cause: signal.reason });
}
