import { DgateError } from "@dgate/core";

/**
 * Ends work that its caller has cancelled.
 * @throws DgateError `ABORTED`
 */
export function stopIfAborted(signal: AbortSignal | undefined, where: string): void {
  if (signal?.aborted) throw new DgateError("ABORTED", `${where}: cancelled.`, { cause: signal.reason });
}

/**
 * Lets timers and signals in between two runs: the WASM runtime never gives way by itself.
 * @throws DgateError `ABORTED`
 */
export async function giveWay(signal: AbortSignal | undefined, where: string): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, 0));
  stopIfAborted(signal, where);
}
