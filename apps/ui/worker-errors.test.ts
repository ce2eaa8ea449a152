import { DgateError } from "@dgate/core";
import { describe, expect, test } from "vitest";
import { adviceFor, crossing, type WorkerFailure } from "./worker-errors.ts";

async function crossed(error: unknown): Promise<WorkerFailure> {
  const fail = crossing(async () => {
    throw error;
  });
  return fail().then(
    () => {
      throw new Error("unreachable: it fails");
    },
    // What a worker throws crosses as a structured clone.
    (failure: unknown) => structuredClone(failure) as WorkerFailure,
  );
}

describe("an error that crosses from a worker", () => {
  test("keeps its code and its message", async () => {
    const failure = await crossed(new DgateError("FORMAT", "a.onnx: no graph."));
    expect(failure).toEqual({ code: "FORMAT", message: "a.onnx: no graph." });
    expect(adviceFor(failure)).toBe("a.onnx: no graph.");
  });

  test.each([
    new RangeError("Array buffer allocation failed"),
    new Error("std::bad_alloc"),
    new DgateError("IO", "the pipeline does not open (WebAssembly.Memory(): could not allocate memory)"),
    new Error("WebAssembly.Memory(): could not allocate: out of memory"),
  ])("is known for want of memory: %s", async (error) => {
    const failure = await crossed(error);
    expect(failure.code).toBe("MEMORY");
    expect(adviceFor(failure)).toMatch(/ran out of memory: take a smaller model or fewer examples/);
  });

  test("that is a stack overflow is no want of memory", async () => {
    const deep = (): number => 1 + deep();
    const error = await crossed(
      (() => {
        try {
          return deep();
        } catch (thrown) {
          return thrown;
        }
      })(),
    );
    expect(error.code).toBe("UNKNOWN");
    expect(adviceFor(error)).toBe("Maximum call stack size exceeded");
  });

  test("that was a cancellation says so, whatever its text", async () => {
    expect(adviceFor(await crossed(new DgateError("ABORTED", "learn: stopped at step 3")))).toBe(
      "Cancelled.",
    );
  });

  test("that is no error is shown as it is", async () => {
    expect(adviceFor(await crossed("no adapter"))).toBe("no adapter");
  });
});
