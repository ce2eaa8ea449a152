import type { OrtModule } from "@dgate/onnx/web";
import type * as Transformers from "@huggingface/transformers";
import type { OnBytes } from "../ui/counted.ts";
import { startOrt } from "../ui/ort-runtime.ts";

/** The runtime and transformers.js, which runs in it. */
export interface StartedLibrary {
  readonly ort: OrtModule;
  readonly transformers: typeof Transformers;
}

/**
 * Starts transformers.js on this site's own onnxruntime-web. It takes the runtime that it finds under this symbol, in place of one
 * of its own with WebGPU, which is twice as large and which it would fetch from a CDN; training, gates and pipelines then share one runtime.
 */
export async function startLibrary(threads: number, onBytes: OnBytes): Promise<StartedLibrary> {
  const ort = await startOrt("wasm", onBytes);
  ort.env.wasm.numThreads = threads;
  Object.assign(globalThis, { [Symbol.for("onnxruntime")]: ort });
  const transformers = await import("@huggingface/transformers");
  // It warns of a tokenizer that gives more than the model takes, at every run.
  transformers.env.logLevel = transformers.LogLevel.ERROR;
  return { ort, transformers };
}

/** Options of `pipeline()`: with a runtime of ours it knows no device by name. */
export const onOurRuntime = { device: "auto", session_options: { executionProviders: ["wasm"] } } as const;
