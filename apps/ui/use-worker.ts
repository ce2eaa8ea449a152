import { type Remote, wrap } from "comlink";
import { useEffect, useRef } from "preact/hooks";

/** A worker of a page. */
export interface PageWorker<Api> {
  /** Starts the worker with the first call. */
  readonly api: () => Remote<Api>;
  /** Stops it at once, whatever it does: a computation cannot refuse. The next call starts another one. */
  readonly end: () => void;
  /** Starts one beside it, which may take its place. */
  readonly another: () => Candidate<Api>;
}

/** A worker that is not the page's yet. */
export interface Candidate<Api> {
  readonly remote: Remote<Api>;
  /** Makes it the page's worker, and stops the one before. */
  readonly keep: () => void;
  /** Stops it. */
  readonly drop: () => void;
}

/**
 * A worker that lives as long as its component.
 *
 * @param onCrash told of a worker that does not load, or that breaks down: calls that wait for it would wait for ever; and whether it was the page's
 */
export function useWorker<Api>(
  start: () => Worker,
  onCrash: (error: Error, ofPage: boolean) => void,
): PageWorker<Api> {
  const running = useRef<Running<Api>>(undefined);
  const candidate = useRef<Running<Api>>(undefined);
  // A worker outlives the rendering that started it.
  const crashed = useRef(onCrash);
  crashed.current = onCrash;
  const begin = (): Running<Api> => {
    const worker = start();
    const own = { worker, remote: wrap<Api>(worker) };
    worker.addEventListener("error", ({ message }) => {
      const ofPage = running.current === own;
      if (!ofPage && candidate.current !== own) return;
      stop(ofPage ? running : candidate);
      crashed.current(
        new Error(
          `The page's worker broke down (${message || "it does not load"}): try again, or reload the page.`,
        ),
        ofPage,
      );
    });
    return own;
  };
  const end = (): void => stop(running);
  useEffect(
    () => () => {
      stop(running);
      stop(candidate);
    },
    [],
  );
  const api = (): Remote<Api> => {
    running.current ??= begin();
    return running.current.remote;
  };
  const another = (): Candidate<Api> => {
    stop(candidate);
    const own = begin();
    candidate.current = own;
    return {
      remote: own.remote,
      keep() {
        stop(running);
        running.current = own;
        candidate.current = undefined;
      },
      drop() {
        if (candidate.current === own) stop(candidate);
      },
    };
  };
  return { api, end, another };
}

interface Running<Api> {
  readonly worker: Worker;
  readonly remote: Remote<Api>;
}

function stop(place: { current: Running<unknown> | undefined }): void {
  place.current?.worker.terminate();
  place.current = undefined;
}
