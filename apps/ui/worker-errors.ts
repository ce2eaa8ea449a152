import { DgateError } from "@dgate/core";

/** An error as it crosses from a worker to its page. */
export interface WorkerFailure {
  readonly code: string;
  readonly message: string;
}

/** How browsers and runtimes say that memory is short, in errors that other layers have wrapped, too. A RangeError may be anything else: a stack overflow, say. */
const shortOfMemory =
  /out of memory|allocation failed|(?:failed|unable) to allocate|could not allocate|bad_alloc|invalid (?:typed array|array buffer) length/i;

/** Gives an error of the packages, or any other, the form in which a page gets it. */
function failureOf(error: unknown): WorkerFailure {
  const message = error instanceof Error ? error.message : String(error);
  if (shortOfMemory.test(message)) return { code: "MEMORY", message };
  return { code: error instanceof DgateError ? error.code : "UNKNOWN", message };
}

/** A worker's function whose errors cross as `WorkerFailure`. */
export const crossing =
  <Args extends unknown[], Result>(run: (...args: Args) => Promise<Result>) =>
  async (...args: Args): Promise<Result> => {
    try {
      return await run(...args);
    } catch (error) {
      throw failureOf(error);
    }
  };

/** What a page shows of an error that it caught: what went wrong and what to do. */
export function adviceFor(error: unknown): string {
  const { code, message } = isFailure(error) ? error : failureOf(error);
  if (code === "MEMORY")
    return `${message} The page ran out of memory: take a smaller model or fewer examples, close other tabs, and try again.`;
  if (code === "ABORTED") return "Cancelled.";
  return message;
}

const isFailure = (error: unknown): error is WorkerFailure =>
  typeof error === "object" && error !== null && "code" in error && "message" in error;
