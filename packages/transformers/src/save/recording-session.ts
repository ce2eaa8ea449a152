import type { RunTensor } from "@dgate/onnx";
import type { LibrarySession } from "../library/library.ts";

/** Inputs and outputs of one run of a session. */
export interface RecordedRun {
  readonly feeds: Readonly<Record<string, RunTensor>>;
  readonly outputs: Readonly<Record<string, RunTensor>>;
}

/** A session in the place of one of transformers.js that keeps what goes in and out. */
export class RecordingSession implements LibrarySession {
  readonly runs: RecordedRun[] = [];
  readonly #inner: LibrarySession;
  config?: unknown;

  constructor(inner: LibrarySession) {
    this.#inner = inner;
    if (inner.config !== undefined) this.config = inner.config;
  }

  get inputNames(): readonly string[] {
    return this.#inner.inputNames;
  }

  get outputNames(): readonly string[] {
    return this.#inner.outputNames;
  }

  get inputMetadata(): readonly unknown[] {
    return this.#inner.inputMetadata ?? [];
  }

  async run(feeds: Record<string, unknown>, ...rest: unknown[]): Promise<Record<string, unknown>> {
    // Before the run: the library may free a cache once it has been fed.
    const fed = tensorsOf(feeds);
    const outputs = await this.#inner.run(feeds, ...rest);
    this.runs.push({ feeds: fed, outputs: tensorsOf(outputs) });
    return outputs;
  }

  async release(): Promise<void> {
    await this.#inner.release?.();
  }
}

const tensorsOf = (tensors: Readonly<Record<string, unknown>>): Record<string, RunTensor> =>
  Object.fromEntries(Object.entries(tensors).map(([name, tensor]) => [name, tensorOf(tensor as OrtTensor)])); // what sessions take and give

/** A tensor of any version of onnxruntime, or of a library that wraps one. */
interface OrtTensor {
  readonly type: RunTensor["dtype"];
  readonly dims: readonly number[];
  readonly data: RunTensor["data"];
}

function tensorOf({ type, dims, data }: OrtTensor): RunTensor {
  // Newer engines give float16 as Float16Array; its bits are the same everywhere.
  const bits =
    type === "float16" && ArrayBuffer.isView(data)
      ? new Uint16Array(data.buffer, data.byteOffset, data.byteLength / 2)
      : data;
  return { dtype: type, shape: [...dims], data: bits };
}
