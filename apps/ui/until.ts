import { DgateError } from "@dgate/core";

/** Lets messages of the page in. */
export const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 0));

/** @throws DgateError `ABORTED` by the signal */
export function stopIfAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new DgateError("ABORTED", "Cancelled.");
}

/**
 * What a promise gives, unless the signal comes first: what it waits for goes on by itself then.
 *
 * @throws DgateError `ABORTED` by the signal
 */
export async function until<T>(signal: AbortSignal, waited: Promise<T>): Promise<T> {
  stopIfAborted(signal);
  return new Promise<T>((resolve, reject) => {
    const stop = (): void => reject(new DgateError("ABORTED", "Cancelled."));
    signal.addEventListener("abort", stop, { once: true });
    void waited.then(resolve, reject).finally(() => signal.removeEventListener("abort", stop));
  });
}
