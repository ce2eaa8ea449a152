import { DgateError } from "@dgate/core";

/**
 * The elements of a source, up to its end or until the signal says stop, also while the next element is waited for.
 *
 * @throws DgateError `OPTION` for something that is no collection
 */
export async function* untilAborted<T>(
  source: Iterable<T> | AsyncIterable<T>,
  signal: AbortSignal | undefined,
): AsyncGenerator<T, void, undefined> {
  const iterator = iteratorOf(source);
  const { promise: stopping, stop } = stopper();
  signal?.addEventListener("abort", stop, { once: true });
  try {
    for (;;) {
      if (signal?.aborted) return;
      const next = await Promise.race([iterator.next(), stopping]);
      if (next === "stopped" || next.done === true) return;
      yield next.value;
    }
  } finally {
    signal?.removeEventListener("abort", stop);
    // Not waited for: a generator ends only after the element that it is asked for.
    void iterator.return?.();
  }
}

function stopper(): { readonly promise: Promise<"stopped">; readonly stop: () => void } {
  const target = new EventTarget();
  const promise = new Promise<"stopped">((resolve) => {
    target.addEventListener("stop", () => resolve("stopped"), { once: true });
  });
  return { promise, stop: () => void target.dispatchEvent(new Event("stop")) };
}

function iteratorOf<T>(source: Iterable<T> | AsyncIterable<T>): Iterator<T> | AsyncIterator<T> {
  if (typeof source === "object" && source !== null) {
    if (Symbol.asyncIterator in source) return source[Symbol.asyncIterator]();
    if (Symbol.iterator in source) return source[Symbol.iterator]();
  }
  throw new DgateError(
    "OPTION",
    "train: batches must be an array, another (async) collection of feeds, or a function that gives one.",
  );
}
