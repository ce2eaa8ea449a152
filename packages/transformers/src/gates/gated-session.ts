import { DgateError } from "@dgate/core";
import type { Library, LibrarySession } from "../library/library.ts";

/** A gate input of a session and where its values come from. */
export interface SessionGate {
  readonly input: string;
  /** Read at every run. */
  readonly values: () => Float64Array;
}

/**
 * A session in the place of one of transformers.js: it takes and gives the same, and feeds the gates. What runs inside is a session of the
 * library's own onnxruntime, so that the library knows the tensors that come back.
 */
export class GatedSession implements LibrarySession {
  #inner: LibrarySession;
  readonly #gates: readonly SessionGate[];
  readonly #library: Library;
  config?: unknown;

  constructor(
    library: Library,
    inner: LibrarySession,
    replaced: LibrarySession,
    gates: readonly SessionGate[],
  ) {
    this.#library = library;
    this.#inner = inner;
    this.#gates = gates;
    if (replaced.config !== undefined) this.config = replaced.config;
  }

  get inputNames(): readonly string[] {
    return this.#inner.inputNames.filter((name) => !this.#isGate(name));
  }

  get outputNames(): readonly string[] {
    return this.#inner.outputNames;
  }

  /** Version 4 reads the shapes of caches from here. */
  get inputMetadata(): readonly unknown[] {
    return (this.#inner.inputMetadata ?? []).filter(
      (meta) => !this.#isGate((meta as { name?: string }).name ?? ""),
    ); // as onnxruntime describes inputs
  }

  run(feeds: Record<string, unknown>, ...rest: unknown[]): Promise<Record<string, unknown>> {
    const { Tensor } = this.#library.module;
    const gates = this.#gates.map(({ input, values }) => {
      const tensor = new Tensor("float32", Float32Array.from(values()), [values().length]);
      return [input, tensor.ort_tensor ?? tensor];
    });
    return this.#inner.run({ ...feeds, ...Object.fromEntries(gates) }, ...rest);
  }

  /** The class of onnxruntime that runs inside. */
  get innerClass(): unknown {
    return classOf(this.#inner);
  }

  /** Runs another session from now on, of the same inputs and outputs: one of weights that were learned. */
  async renew(inner: LibrarySession): Promise<void> {
    const former = this.#inner;
    this.#inner = inner;
    await former.release?.();
  }

  async release(): Promise<void> {
    await this.#inner.release?.();
  }

  #isGate(name: string): boolean {
    return this.#gates.some(({ input }) => input === name);
  }
}

/** The class of onnxruntime that a session runs in. */
export const classOf = (session: LibrarySession): unknown =>
  session instanceof GatedSession ? session.innerClass : session.constructor;

/**
 * Refuses a pipeline that runs in another copy of onnxruntime: its library would not know the tensors that come back.
 *
 * @throws DgateError `OPTION`
 */
export function checkSameClass(session: LibrarySession, sessionClass: unknown): void {
  if (classOf(session) === sessionClass) return;
  throw new DgateError(
    "OPTION",
    "attach: the pipeline's session is of another copy of onnxruntime than the one that the gates run in; open both with one import of transformers.js.",
  );
}
