import { type Remote, wrap } from "comlink";
import { useEffect, useRef } from "preact/hooks";

/** A worker of a page. */
export interface PageWorker<Api> {
  /** Starts the worker with the first call. */
  readonly api: () => Remote<Api>;
  /** Stops it at once, whatever it does: a computation cannot refuse. The next call starts another one. */
  readonly end: () => void;
}

/**
 * A worker that lives as long as its component.
 *
 * @param onCrash told of a worker that does not load, or that breaks down: calls that wait for it would wait for ever
 */
export function useWorker<Api>(start: () => Worker, onCrash: (error: Error) => void): PageWorker<Api> {
  const running = useRef<{ readonly worker: Worker; readonly remote: Remote<Api> }>(undefined);
  // A worker outlives the rendering that started it.
  const crashed = useRef(onCrash);
  crashed.current = onCrash;
  const end = (): void => {
    running.current?.worker.terminate();
    running.current = undefined;
  };
  useEffect(() => end, []);
  const api = (): Remote<Api> => {
    if (!running.current) {
      const worker = start();
      worker.addEventListener("error", ({ message }) => {
        end();
        crashed.current(
          new Error(
            `The page's worker broke down (${message || "it does not load"}): try again, or reload the page.`,
          ),
        );
      });
      running.current = { worker, remote: wrap<Api>(worker) };
    }
    return running.current.remote;
  };
  return { api, end };
}
