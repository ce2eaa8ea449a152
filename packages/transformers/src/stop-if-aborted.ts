import { DgateError } from "@dgate/core";

/**
 * Ends work that its caller has cancelled.
 * @throws DgateError `ABORTED`
 */
export function stopIfAborted(signal: AbortSignal | undefined, where: string): void {
  if (signal?.aborted) throw new DgateError("ABORTED", `${where}: cancelled.`, { cause: signal.reason });
}
