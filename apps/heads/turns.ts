import { DgateError } from "@dgate/core";
import { pause } from "../ui/until.ts";

/** Jobs that run one after the other, in the order in which they are asked for. What only watches gives way to all that comes after it. */
export class Turns {
  #last: Promise<unknown> = Promise.resolve();
  #watching = 0;
  readonly #open = new Set<AbortController>();

  /**
   * Runs a job when those before it have ended; a watch ends for it.
   *
   * @throws DgateError `ABORTED` if it was cancelled before its turn came
   */
  alone<T>(run: (signal: AbortSignal) => Promise<T>): Promise<T> {
    this.#watching += 1;
    const controller = new AbortController();
    this.#open.add(controller);
    return this.#queue(async () => {
      try {
        if (controller.signal.aborted) throw new DgateError("ABORTED", "Cancelled before it began.");
        return await run(controller.signal);
      } finally {
        this.#open.delete(controller);
      }
    });
  }

  /**
   * Runs what only tells something, until anything else is asked for: it ends silently then.
   *
   * @param run awaits `step` where it may end
   */
  async watch(run: (step: () => Promise<void>) => Promise<void>): Promise<void> {
    const ticket = ++this.#watching;
    const step = async (): Promise<void> => {
      await pause();
      if (ticket !== this.#watching) throw new DgateError("ABORTED", "watch: something newer is asked for.");
    };
    await this.#queue(async () => {
      try {
        await step();
        await run(step);
      } catch (error) {
        if (!(error instanceof DgateError) || error.code !== "ABORTED") throw error;
      }
    });
  }

  /** Ends what runs, if it can be ended, and what waits for its turn. */
  cancel(): void {
    this.#watching += 1;
    for (const controller of this.#open) controller.abort();
  }

  #queue<T>(run: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(run, run);
    this.#last = turn.catch(() => undefined);
    return turn;
  }
}
